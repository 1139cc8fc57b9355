"""What happens to a payment: claims, cascade, settling, recovery. Knows no proto, no provider."""
