"""HTTP in: the application, its routes, and the only place that turns errors into HTTP."""
