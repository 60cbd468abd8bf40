"""The REST API under /api/v1/: a door like the pages, for programs. Reads through `core.access`, writes through `services`."""

from instances.api import config, console, images, instances, me, operations, uploads
from instances.api.application import make_api, nowhere_else

api = make_api()
api.add_router("me/", me.router, tags=["me"])
api.add_router("uploads/", uploads.router, tags=["uploads"])
api.add_router("images/", images.router, tags=["images"])
api.add_router("instances/", instances.router, tags=["instances"])
api.add_router("instances/", console.router, tags=["instances"])
api.add_router("operations/", operations.router, tags=["operations"])
api.add_router("config/", config.router, tags=["config"])
api.add_router("", nowhere_else)
