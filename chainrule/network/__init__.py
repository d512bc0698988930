"""Networks: layers connected by nodes."""
