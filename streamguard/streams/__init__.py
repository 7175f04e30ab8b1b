"""The service: lanes that move records, and the Faust app that supervises them."""
