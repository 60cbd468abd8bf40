"""The URLs of a team's pages."""

from django.urls import path

from opsweb.teams.views import access, invitations, panel, team

app_name = "teams"

urlpatterns = [
    path("access/", access.index, name="access"),
    path("join/", invitations.join, name="join"),
    path("new-team/", panel.create, name="create"),  # not below teams/, where names are
    path("teams/", panel.index, name="list"),
    path("teams/<slug:name>/", team.detail, name="detail"),
    path("teams/<slug:name>/quota/", panel.quota, name="quota"),
    path("teams/<slug:name>/archive/", panel.archive, name="archive"),
    path("teams/<slug:name>/restore/", panel.restore, name="restore"),
    path("teams/<slug:name>/leave/", team.leave, name="leave"),
    path("teams/<slug:name>/members/<int:user_id>/role/", team.change_role, name="role"),
    path("teams/<slug:name>/members/<int:user_id>/remove/", team.remove, name="remove"),
    path("teams/<slug:name>/invitations/", invitations.create, name="invite"),
    path("teams/<slug:name>/invitations/<int:invitation_id>/revoke/", invitations.revoke, name="revoke"),
]
