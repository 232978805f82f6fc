"""A session on the disk: its folder, its journal, what the journal says, its manifest."""
