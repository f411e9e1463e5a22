"""Tables, pictures and pages from the event log."""
