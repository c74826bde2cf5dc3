"""Series that a router reads elsewhere at each scrape: from Envoy, and from the picker."""
