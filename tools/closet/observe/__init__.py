"""A live node → typed records. The only place that parses what devices say."""
