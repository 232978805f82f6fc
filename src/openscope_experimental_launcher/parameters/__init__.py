"""A session's parameters: read strictly, layered, validated, frozen, each origin known."""
