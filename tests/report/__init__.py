"""Reports: their JSON against the schema, their tables, their remarks."""
