"""Ranking over HTTP for teams whose front end is a server: a release in, a list out, nothing kept between requests."""
