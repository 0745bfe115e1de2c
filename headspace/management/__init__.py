"""What Headspace adds to manage.py."""
