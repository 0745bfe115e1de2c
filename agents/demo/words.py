"""What the simulated fleet talks about."""

PROJECTS = [
    "/home/dev/checkout-api",
    "/home/dev/mobile-app",
    "/home/dev/search-index",
    "/home/dev/billing",
    "/home/dev/docs-site",
    "/home/dev/infra",
]
MODELS = ["claude-opus-4-8", "claude-sonnet-4-8", "claude-haiku-4-5"]
PROMPTS = [
    "The checkout test is flaky on CI. Find out why and fix it.",
    "Add a rate limit to the public search endpoint, 20 requests a minute per key.",
    "Rename Customer.mail to Customer.email everywhere, with a migration.",
    "Why does the invoice PDF miss the last line item? Write a failing test first.",
    "Upgrade Django to the next minor release and fix what breaks.",
    "Write the release notes for this week from the merged pull requests.",
    "The memory of the indexer grows by 1 GB a day. Profile it.",
    "Make the login form work with a screen reader.",
    "Move the nightly export from cron to the queue.",
    "continue",
]
SEARCHES = ["def checkout", "TODO", "rate_limit", "Customer.mail", "retry", "timeout=", "class Invoice"]
COMMANDS = [
    ("pytest -x -q tests/test_checkout.py", "12 passed in 3.41s"),
    ("git diff --stat", " 4 files changed, 61 insertions(+), 18 deletions(-)"),
    ("npm ci", "added 812 packages in 14s"),
    ("python manage.py makemigrations --check", "No changes detected"),
    ("git push origin fix/flaky-checkout", "branch 'fix/flaky-checkout' set up to track 'origin/fix/flaky-checkout'"),
    ("rm -rf build/ dist/", ""),
    ("docker compose up -d postgres", "Container postgres  Started"),
]
EDITS = [
    ("src/checkout.py", "timeout=1", "timeout=5"),
    ("src/models.py", "mail = ", "email = "),
    ("tests/test_invoice.py", "assert lines == 3", "assert lines == 4"),
    ("web/login.html", "<div role=button>", "<button>"),
    ("docs/changelog.md", "## Unreleased", "## 2.4.0"),
]
FAILURES = [
    ("pytest -q", "Exit code 1\nFAILED tests/test_checkout.py::test_retry - assert 2 == 3"),
    ("ruff check .", "Exit code 1\nsrc/checkout.py:14:1: F401 `os` imported but unused"),
    ("make build", "Exit code 2\nmake: *** [Makefile:12: build] Error 1"),
]
QUESTIONS = [
    ("Should old clients keep working with the previous field name?", ["Yes, for one release", "No"]),
    ("Which branch should the fix go to?", ["main", "release/2.4"]),
]
ANSWERS = [
    "Done. The test waited for a timer instead of the event; it now passes 200 times in a row.",
    "The endpoint answers 429 with Retry-After beyond 20 requests a minute. Tests are in tests/test_limits.py.",
    "I renamed the field, wrote a migration in three steps and updated 41 places.",
    "The last line item was cut by an off-by-one in the page break. Fixed, with a test.",
    "Everything is green. I left two deprecation warnings in the notes.",
]
ERRORS = [("rate_limit", "API Error: 429 rate limited"), ("overloaded", "API Error: 529 overloaded")]
