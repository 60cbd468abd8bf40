"""The ASGI application: HTTP by Django, websockets by the two consumers."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsweb.settings")
http = get_asgi_application()  # loads the apps; the imports below need them

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402
from django.urls import path  # noqa: E402

from instances.consumers import ConsoleConsumer  # noqa: E402
from opsweb.core.bodies import BodyLimit  # noqa: E402
from opsweb.core.threads import KeptThreads  # noqa: E402
from opsweb.teams.consumers import EventsConsumer  # noqa: E402
from opsweb.teams.sockets import SocketGate  # noqa: E402

websocket_urlpatterns = [
    path("ws/events/", EventsConsumer.as_asgi()),
    path("ws/instances/<uuid:instance_id>/console/", ConsoleConsumer.as_asgi()),
]

application = ProtocolTypeRouter(
    {
        "http": BodyLimit(KeptThreads(http), settings.DATA_UPLOAD_MAX_MEMORY_SIZE),
        "websocket": SocketGate(URLRouter(websocket_urlpatterns)),
    }
)
