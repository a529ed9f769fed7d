"""The TLS edge in front of the service: a HAProxy of our own, its certificates, and what else guards its ports."""
