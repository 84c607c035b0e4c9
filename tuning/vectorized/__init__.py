"""Many small models as one program: members of one structure, stacked on a leading axis, each equal to its solo run."""
