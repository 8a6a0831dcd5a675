"""The history of the database schema, one file a step; `service.storage.schema` runs it when a database is opened."""
