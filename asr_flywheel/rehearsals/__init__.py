"""Records of the project's own rehearsals; docs/rehearsal.md says how they are made."""
