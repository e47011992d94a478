"""Django's settings; every value that differs between installations is a variable.

`.env.example` lists the variables. A checkout runs without any: SQLite and a local
Redis, with DEBUG off. Files and folders that are made from here on are their owner's
alone, in every process that reads these settings and in the programs that it starts.
"""

import os
from pathlib import Path

from csp.constants import NONCE, NONE, SELF
from django.urls import reverse_lazy

from orchestration.files import make_passable
from orchestration.project.fetched import Quota
from testbed.environment import (
    database,
    env_bool,
    env_choice,
    env_directory,
    env_domains,
    env_expiry,
    env_factor,
    env_generated,
    env_int,
    env_list,
    env_networks,
    env_openid,
    env_pools,
    env_redis,
    env_reservations,
    env_secret,
    env_str,
    env_token,
    env_zone,
    require_apart,
)

BASE_DIR = Path(__file__).resolve().parent.parent
# Resolved: states and domain XML carry paths below it, read from other folders.
DATA_DIR = Path(env_str("TESTBED_DATA_DIR", str(BASE_DIR / "var"))).resolve()
os.umask(0o077)
make_passable(DATA_DIR)

DEBUG = env_bool("TESTBED_DEBUG", default=False)
SECRET_KEY = env_generated("TESTBED_SECRET_KEY", kept_in=DATA_DIR / "secret-key")
ALLOWED_HOSTS = env_list("TESTBED_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("TESTBED_TRUSTED_ORIGINS")
HTTPS = env_bool("TESTBED_HTTPS", default=False)
# With it a scraper reads /metrics; without it lab admins alone do.
METRICS_TOKEN = env_token("TESTBED_METRICS_TOKEN")

# Folders: QEMU's user must pass through those of testbeds and images (mode 711).
TESTBEDS_DIR = DATA_DIR / "testbeds"
IMAGES_DIR = Path(env_str("TESTBED_IMAGES_DIR", str(DATA_DIR / "images")))
LOCAL_CATALOGUE = Path(env_str("TESTBED_CATALOGUE", str(IMAGES_DIR / "local.json")))
# Besides their testbed's folder, users may name disks and ISO files below these.
DISK_FOLDERS = tuple(Path(folder) for folder in env_list("TESTBED_DISK_FOLDERS"))
# Network cards of the main host that a YAML may plug into a bridge.
NETWORK_CARDS = tuple(env_list("TESTBED_NETWORK_CARDS"))
# One /20 of each for every testbed; nothing else on the hosts may use these ranges.
ADDRESS_POOLS = env_pools("TESTBED_NAT_POOL", "TESTBED_MANAGEMENT_POOL")
# Private networks that guests may reach besides the internet.
ALLOWED_NETWORKS = env_networks("TESTBED_ALLOWED_NETWORKS")
# The kind of link between bridges on two hosts, in every new or edited testbed.
TUNNEL_KIND = env_choice("TESTBED_TUNNELS", "vxlan", "geneve", "gre")
# Whether equal golden images are one for all users, not for each owner.
SHARE_GOLDEN_IMAGES = env_bool("TESTBED_SHARE_GOLDEN_IMAGES", default=False)
RUNTIME_DIR = DATA_DIR / "runtime"
CONSOLE_SOCKET = DATA_DIR / "console.sock"
EXAMPLES_DIR = BASE_DIR / "examples"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
    "csp",
    "django_celery_beat",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "testbed",
]
MIDDLEWARE = [
    "testbed.access.origin.note_address",
    "django.middleware.security.SecurityMiddleware",
    # Compressing pages with secrets invites BREACH: the only secret in these pages, the
    # token of forms, is masked anew in each response, and Django pads at random.
    "testbed.views.compression.PageCompression",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "testbed.access.rates.tell_rate",
    "allauth.account.middleware.AccountMiddleware",
    "testbed.views.accounts.second_factor.require_second_factor",
    "testbed.views.problems.explain_wrong_method",
    "testbed.views.addresses.FormerAddresses",
    "testbed.views.problems.GoneMeanwhile",
]
ROOT_URLCONF = "testbed.urls"
ASGI_APPLICATION = "testbed.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "testbed.access.visibility.permissions_context",
            ]
        },
    }
]

DATABASES = {
    "default": database(
        env_secret("TESTBED_DATABASE_URL", "sqlite:///db.sqlite3"), data_dir=DATA_DIR
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# redis://host:port/0 or unix:///path/to/redis.sock
REDIS_URL = env_redis("TESTBED_REDIS_URL", "redis://127.0.0.1:6379/0")
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "testbed"},
    }
}
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = env_str("TESTBED_QUEUE", "testbed")
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# Batches are rows and are sent again. A worker with unacknowledged messages would end
# when Redis goes: kombu fails to restore them on a closed connection.
CELERY_BROKER_TRANSPORT_OPTIONS = {"ack_emulation": False}
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 2, "interval_start": 0.1}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = reverse_lazy("account_login")
LOGIN_REDIRECT_URL = reverse_lazy("testbeds")
LOGOUT_REDIRECT_URL = reverse_lazy("account_login")

# django-allauth. Limits are ours (testbed/views/accounts/adapter.py).
ACCOUNT_ADAPTER = "testbed.views.accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_RATE_LIMITS = False
ACCOUNT_SESSION_REMEMBER = True  # the session ends by itself without use
ACCOUNT_AUTHENTICATED_LOGIN_REDIRECTS = False  # a form signs in who fills it in
ACCOUNT_EMAIL_VERIFICATION = "none"  # each address comes from an admin or a link
ACCOUNT_FORMS = {
    "login": "testbed.views.accounts.forms.SignInForm",
    "change_password": "testbed.views.accounts.forms.PasswordForm",  # nosec B105
    "reset_password": "testbed.views.accounts.forms.ResetForm",  # nosec B105
    "reset_password_from_key": "testbed.views.accounts.forms.NewPasswordForm",  # nosec B105
    "signup": "testbed.views.accounts.forms.AccountForm",
    "reauthenticate": "testbed.views.accounts.forms.ConfirmForm",
}
ACCOUNT_REAUTHENTICATION_METHODS = {"password", "mfa"}
PASSWORD_RESET_TIMEOUT = 3600
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # before an identity is bound, too
# The database goes first; the directory never gets the password of an account here.
DIRECTORY = env_directory("TESTBED_LDAP")
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
if DIRECTORY.urls:
    AUTHENTICATION_BACKENDS.append(
        "testbed.accounts.directory.backend.DirectoryBackend"
    )
SOCIALACCOUNT_ADAPTER = "testbed.views.accounts.openid.OpenIDAdapter"
OPENID = env_openid("TESTBED_OIDC")
require_apart(OPENID, DIRECTORY)
SOCIALACCOUNT_PROVIDERS = OPENID.providers
MFA_ADAPTER = "testbed.views.accounts.second_factor.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_RATE_LIMITS = False
MFA_TOTP_ISSUER = "Testbed"
MFA_TOTP_TOLERANCE = 1  # of 30 s: clocks of telephones are not exact
_FACTORS = "testbed.views.accounts.second_factor"
MFA_FORMS = {
    "authenticate": f"{_FACTORS}.CodeForm",
    "reauthenticate": f"{_FACTORS}.ConfirmForm",
    "activate_totp": f"{_FACTORS}.AppForm",
    "authenticate_webauthn": f"{_FACTORS}.PasskeyAfterPasswordForm",
    "login_webauthn": f"{_FACTORS}.PasskeySignInForm",
    "reauthenticate_webauthn": f"{_FACTORS}.PasskeyConfirmForm",
    "add_webauthn": f"{_FACTORS}.PasskeyForm",
}
ADMINS_NEED_SECOND_FACTOR = env_bool("TESTBED_ADMIN_SECOND_FACTOR", default=False)
# Users with an address of these domains make themselves an account.
REGISTRATION_DOMAINS = frozenset(env_domains("TESTBED_REGISTRATION_DOMAINS"))

LANGUAGE_CODE = "en"
TIME_ZONE = env_zone("TESTBED_TIME_ZONE", "UTC")
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
# Of what collectstatic copies: the web's account reads it, whoever ran that.
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o755
# A form without its files: the editor's largest text, encoded, is three times as long.
# testbed/bodies.py bounds whole requests.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
# Above the limit of a form, so that the form can report it and keep the input.
DATA_UPLOAD_MAX_NUMBER_FILES = 5000

SESSION_ENGINE = "testbed.access.sessions"
# Hours without use. A page that is open uses its session, as it asks for news.
SESSION_COOKIE_AGE = 3600 * env_int("TESTBED_SESSION_IDLE_H", 24)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "testbed.views.problems.csrf_failed"
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31536000 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        # Only the editor asks for a nonce: CodeMirror creates its styles in the page.
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

# Of one user; an admin may give a user or a group others (testbed/access/limits.py).
USER_LIMITS = {
    "testbeds": env_int("TESTBED_USER_TESTBEDS", 50),
    "guests": env_int("TESTBED_USER_GUESTS", 2000),
    "vcpus": env_int("TESTBED_USER_VCPUS", 4000),
    "memory_gib": env_int("TESTBED_USER_MEMORY_GIB", 8192),
    "runs": env_int("TESTBED_USER_RUNS", 10),
    "sockets": env_int("TESTBED_USER_SOCKETS", 100),
    "testbed_mib": env_int("TESTBED_TESTBED_FILES_MIB", 512),
    "user_mib": env_int("TESTBED_USER_FILES_MIB", 4096),
    "testbed_disk_gib": env_int("TESTBED_TESTBED_DISKS_GIB", 16_384),
    "user_disk_gib": env_int("TESTBED_USER_DISKS_GIB", 32_768),
    "testbed_log_mib": env_int("TESTBED_TESTBED_LOGS_MIB", 1024),
    "user_log_mib": env_int("TESTBED_USER_LOGS_MIB", 4096),
}

# All disks of a host at their full size together, as a multiple of the space for them.
DISK_OVERCOMMIT = env_factor("TESTBED_DISK_OVERCOMMIT", 4.0)
# All guests of a host together, as multiples of its CPUs and memory; a host may have
# factors of its own.
VCPU_OVERCOMMIT = env_factor("TESTBED_VCPU_OVERCOMMIT", 16.0)
MEMORY_OVERCOMMIT = env_factor("TESTBED_MEMORY_OVERCOMMIT", 2.0)

# Files from guests: of each testbed, of each guest in one fetch, and left free on main.
FETCHED_QUOTA = Quota(
    size_bytes=env_int("TESTBED_TESTBED_FETCHED_GIB", 20) * 1024**3,
    entries=env_int("TESTBED_FETCHED_ENTRIES", 100_000),
    spare_bytes=env_int("TESTBED_FETCHED_SPARE_GIB", 1, minimum=0) * 1024**3,
)

# Limits of the engine; seconds unless the name says otherwise.
BATCH_LEASE_S = env_int("TESTBED_BATCH_LEASE_S", 15)
TASKS_PER_HOST = env_int("TESTBED_TASKS_PER_HOST", 16)
# For a guest that boots alone; it grows with other boots and with emulation.
BOOT_DEADLINE_S = env_int("TESTBED_BOOT_DEADLINE_S", 120)
# Of a task's output so much is kept in the database, a line counted with its row.
TASK_LOG_MIB = env_int("TESTBED_TASK_LOG_MIB", 8)
# Executions that go on until they are stopped, of one user.
USER_TOOLS = env_int("TESTBED_USER_TOOLS", 4)
# Of one packet capture; then of all that a testbed keeps.
CAPTURE_LIMITS = {
    "usual_mib": env_int("TESTBED_CAPTURE_MIB", 64),
    "usual_s": env_int("TESTBED_CAPTURE_S", 600),
    "most_mib": env_int("TESTBED_CAPTURE_MOST_MIB", 1024),
    "most_s": env_int("TESTBED_CAPTURE_MOST_S", 86_400),
}
TESTBED_CAPTURES_MIB = env_int("TESTBED_TESTBED_CAPTURES_MIB", 4096)
# Consoles that are open at once, of all users; minutes without typing that end one.
CONSOLES = env_int("TESTBED_CONSOLES", 100)
CONSOLE_IDLE_MIN = env_int("TESTBED_CONSOLE_IDLE_MIN", 60)
DRIVER_PATIENCE_S = env_int("TESTBED_DRIVER_PATIENCE_S", 5)
OBSERVE_EVERY_S = env_int("TESTBED_OBSERVE_EVERY_S", 10)
PUSH_KEYS_EVERY_S = 15
SWEEP_EVERY_S = env_int("TESTBED_SWEEP_EVERY_S", 5)
KEEP_HOUSE_EVERY_S = 60
DELIVER_EVERY_S = 30
CHECK_DIRECTORY_EVERY_S = 300
SWEEP_FILES_EVERY_S = 3600
OBSERVE_IMAGES_EVERY_S = 600
# Logs of older runs are removed; 0 keeps them for ever.
KEEP_RUNS_DAYS = env_int("TESTBED_KEEP_RUNS_DAYS", 90, minimum=0)

# Who did what is kept longer than logs; 0 keeps it for ever.
KEEP_RECORD_DAYS = env_int("TESTBED_KEEP_RECORD_DAYS", 730, minimum=0)

# Deleted testbeds and files can be brought back for so long; with 0 they are not kept.
TRASH_DAYS = env_int("TESTBED_TRASH_DAYS", 7, minimum=0)

# When testbeds that are up end (testbed/expiry/).
EXPIRY = env_expiry("TESTBED_EXPIRY")
EXPIRE_EVERY_S = 30
FIND_IDLE_EVERY_S = 300

# Reservations that users make themselves (testbed/reservations/).
RESERVATIONS = env_reservations("TESTBED_RESERVATION")

# How long an API token lasts, and the longest that users may choose.
TOKEN_MOST_DAYS = min(3650, env_int("TESTBED_TOKEN_MOST_DAYS", 365))
TOKEN_DAYS = min(TOKEN_MOST_DAYS, env_int("TESTBED_TOKEN_DAYS", 90))
# Requests that one API token may send in a minute.
API_REQUESTS = env_int("TESTBED_API_REQUESTS", 600)

# Without a server no mail is sent. "none" is for a server on this machine.
EMAIL_BACKEND = "testbed.notifications.smtp.EmailBackend"
EMAIL_HOST = env_str("TESTBED_SMTP_HOST")
EMAIL_PORT = env_int("TESTBED_SMTP_PORT", 25)
EMAIL_HOST_USER = env_str("TESTBED_SMTP_USER")
EMAIL_HOST_PASSWORD = env_secret("TESTBED_SMTP_PASSWORD")
_SMTP_SECURITY = env_choice("TESTBED_SMTP_SECURITY", "none", "starttls", "tls")
EMAIL_USE_TLS = _SMTP_SECURITY == "starttls"
EMAIL_USE_SSL = _SMTP_SECURITY == "tls"
EMAIL_TIMEOUT = 10

# Where users' webhooks may be besides public addresses (testbed/notifications/).
WEBHOOK_NETWORKS = env_networks("TESTBED_WEBHOOK_NETWORKS")
# Where users' Git repositories may be besides public addresses (testbed/sources/).
GIT_NETWORKS = env_networks("TESTBED_GIT_NETWORKS")
# Calls after pushes that one client may send in a minute.
HOOK_REQUESTS = 120
DEFAULT_FROM_EMAIL = env_str("TESTBED_MAIL_FROM", "testbeds@localhost")

# Beat runs inside a worker started with -B; a call that waited too long is dropped.
# It follows rows: those that it makes of these entries, and users' schedules. Only
# `expire_seconds` of the options gets into a row, not `expires`.
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
# Without it beat would add a task that removes results, of which there are none.
CELERY_RESULT_EXPIRES = None
CELERY_BEAT_SCHEDULE = {
    "sweep": {
        "task": "testbed.tasks.periodic.sweep",
        "schedule": SWEEP_EVERY_S,
        "options": {"expire_seconds": SWEEP_EVERY_S},
    },
    "start-snapshot-orders": {
        "task": "testbed.tasks.snapshots.start_orders",
        "schedule": SWEEP_EVERY_S,
        "options": {"expire_seconds": SWEEP_EVERY_S},
    },
    "observe": {
        "task": "testbed.tasks.observe.observe",
        "schedule": OBSERVE_EVERY_S,
        "options": {"expire_seconds": OBSERVE_EVERY_S},
    },
    "push-keys": {
        "task": "testbed.tasks.ssh.push_keys",
        "schedule": PUSH_KEYS_EVERY_S,
        "options": {"expire_seconds": PUSH_KEYS_EVERY_S},
    },
    "observe-images": {
        "task": "testbed.tasks.images.observe_images",
        "schedule": OBSERVE_IMAGES_EVERY_S,
        "options": {"expire_seconds": OBSERVE_IMAGES_EVERY_S},
    },
    "expire": {
        "task": "testbed.tasks.expiry.expire",
        "schedule": EXPIRE_EVERY_S,
        "options": {"expire_seconds": EXPIRE_EVERY_S},
    },
    "find-idle": {
        "task": "testbed.tasks.expiry.find_idle",
        "schedule": FIND_IDLE_EVERY_S,
        "options": {"expire_seconds": FIND_IDLE_EVERY_S},
    },
    "deliver": {
        "task": "testbed.tasks.notifications.deliver",
        "schedule": DELIVER_EVERY_S,
        "options": {"expire_seconds": DELIVER_EVERY_S},
    },
    "check-directory": {
        "task": "testbed.tasks.accounts.check_directory",
        "schedule": CHECK_DIRECTORY_EVERY_S,
        "options": {"expire_seconds": CHECK_DIRECTORY_EVERY_S},
    },
    "keep-house": {
        "task": "testbed.tasks.upkeep.keep_house",
        "schedule": KEEP_HOUSE_EVERY_S,
        "options": {"expire_seconds": KEEP_HOUSE_EVERY_S},
    },
    "sweep-files": {
        "task": "testbed.tasks.stale_files.sweep_files",
        "schedule": SWEEP_FILES_EVERY_S,
        "options": {"expire_seconds": SWEEP_FILES_EVERY_S},
    },
}
# Batches mostly wait for machines; each host of a stage is one. runs/places/fairness.py
# decides how many of these one person may use.
CELERY_WORKER_CONCURRENCY = env_int("TESTBED_WORKER_PROCESSES", 12)

LOG_LEVEL = env_choice("TESTBED_LOG_LEVEL", "INFO", "DEBUG", "WARNING", "ERROR")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {"paramiko": {"level": "WARNING"}, "httpx": {"level": "WARNING"}},
}
