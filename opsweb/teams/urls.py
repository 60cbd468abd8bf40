"""The URLs of a team's pages."""

from django.urls import path

from opsweb.teams.views import team

app_name = "teams"

urlpatterns = [
    path("teams/<slug:name>/", team.detail, name="detail"),
    path("teams/<slug:name>/leave/", team.leave, name="leave"),
    path("teams/<slug:name>/members/<int:user_id>/role/", team.change_role, name="role"),
    path("teams/<slug:name>/members/<int:user_id>/remove/", team.remove, name="remove"),
]
