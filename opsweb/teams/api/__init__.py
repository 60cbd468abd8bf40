"""What the REST routes of every app share: who calls, which team is meant, the forms of answers and bodies."""
