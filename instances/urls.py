"""The pages' URLs."""

from django.urls import include, path

from instances.views import activity, create, dashboard, detail, images, index, rules
from opsweb.teams.views import account

# /instances/
instance_patterns = (
    [
        path("", index.index, name="list"),
        path("new/", create.create, name="create"),
        path("<uuid:instance_id>/", detail.detail, name="detail"),
        path("<uuid:instance_id>/edit/", detail.edit, name="edit"),
        path("<uuid:instance_id>/rules/", rules.save, name="rules"),
        path("<uuid:instance_id>/rules/plan/", rules.plan, name="rules-plan"),
        path("<uuid:instance_id>/verbs/<slug:name>/", detail.verb, name="verb"),
    ],
    "instances",
)

# /images/
image_patterns = (
    [
        path("", images.index, name="list"),
        path("<uuid:image_id>/", images.detail, name="detail"),
        path("<uuid:image_id>/delete/", images.delete, name="delete"),
    ],
    "images",
)

# /operations/
operation_patterns = (
    [
        path("", activity.drawer, name="drawer"),
    ],
    "operations",
)

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("rail/", dashboard.rail, name="rail"),
    path("sign-in/", account.SignIn.as_view(), name="sign-in"),
    path("sign-out/", account.SignOut.as_view(), name="sign-out"),
    path("password/", account.ChangePassword.as_view(), name="password"),
    path("team/", account.choose_team, name="team"),
    path("activity/", activity.activity, name="activity"),
    path("instances/", include(instance_patterns)),
    path("images/", include(image_patterns)),
    path("operations/", include(operation_patterns)),
]
