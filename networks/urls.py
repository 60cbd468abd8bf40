"""The URLs of the networks' pages, under /networks/."""

from django.urls import path

from networks.views import detail, form, groups, index, rules

app_name = "networks"

urlpatterns = [
    path("", index.index, name="list"),
    path("groups/", groups.index, name="groups"),
    path("groups/new/", groups.create, name="group-create"),
    path("groups/<uuid:group_id>/", groups.edit, name="group"),
    path("groups/<uuid:group_id>/delete/", groups.delete, name="group-delete"),
    path("new/", form.create, name="create"),
    path("new/plan/", form.plan_of_new, name="plan"),
    path("<uuid:network_id>/", detail.detail, name="detail"),
    path("<uuid:network_id>/edit/", form.edit, name="edit"),
    path("<uuid:network_id>/edit/plan/", form.plan_of_edit, name="edit-plan"),
    path("<uuid:network_id>/rules/", rules.save, name="rules"),
    path("<uuid:network_id>/rules/plan/", rules.plan, name="rules-plan"),
    path("<uuid:network_id>/verbs/<slug:name>/", detail.verb, name="verb"),
]
