"""The REST API under /api/v1/: a door like the pages, for programs. Reads through `core.access`, writes through `services`."""

from instances.api import config, console, images, instances, me, operations, rules, uploads
from instances.api.application import make_api, nowhere_else
from networks.api import addresses, groups, hosts, networks, preview
from networks.api import rules as network_rules

api = make_api()
api.add_router("me/", me.router, tags=["me"])
api.add_router("uploads/", uploads.router, tags=["uploads"])
api.add_router("images/", images.router, tags=["images"])
api.add_router("instances/", instances.router, tags=["instances"])
api.add_router("instances/", console.router, tags=["instances"])
api.add_router("instances/", rules.router, tags=["instances"])
api.add_router("networks/", preview.router, tags=["networks"])
api.add_router("networks/", networks.router, tags=["networks"])
api.add_router("networks/", addresses.router, tags=["networks"])
api.add_router("networks/", network_rules.router, tags=["networks"])
api.add_router("groups/", groups.router, tags=["groups"])
api.add_router("hosts/", hosts.router, tags=["hosts"])
api.add_router("operations/", operations.router, tags=["operations"])
api.add_router("config/", config.router, tags=["config"])
api.add_router("", nowhere_else)
