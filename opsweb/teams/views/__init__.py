"""The pages of people and teams: signing in, one's own password, a team and its members."""
