"""Every address of the web, in one table."""

from allauth.account import views as allauth
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from django.contrib import admin
from django.urls import path
from django.views.decorators.http import require_POST
from django.views.generic import RedirectView

from testbed.api import document, schema
from testbed.api.metrics import metrics
from testbed.api.v1 import api
from testbed.environment import OPENID_ID
from testbed.views import (
    addresses,
    artefacts,
    create,
    editor,
    files,
    images,
    logs,
    orphans,
    runs,
    testbeds,
)
from testbed.views.accounts import invitations, openid, passwords, sessions
from testbed.views.catalogue import copying, saving
from testbed.views.catalogue import images as catalogue
from testbed.views.erasing import files as file_deletion
from testbed.views.erasing import protection, trash
from testbed.views.erasing import testbeds as testbed_deletion
from testbed.views.execution import answers, captures, fetched, saved
from testbed.views.execution import start as executions
from testbed.views.guests import (
    acts,
    checks,
    consoles,
    lab_snapshots,
    load,
    pages,
    schedules,
    snapshots,
)
from testbed.views.hosts import adding as new_hosts
from testbed.views.hosts import changing as host_changes
from testbed.views.hosts import pages as hosts
from testbed.views.listing import activity, labels, steps
from testbed.views.listing import acts as ticked
from testbed.views.listing import testbeds as listing
from testbed.views.notifications import choices, deliveries, inbox
from testbed.views.reservations import acts as reservation_acts
from testbed.views.reservations import pages as reservations
from testbed.views.sharing import expiry, groups, quotas, record, shares, tokens
from testbed.views.sources import hook
from testbed.views.sources import pages as sources
from testbed.views.ssh import config, keys

urlpatterns = [
    path("", listing.index, name="testbeds"),
    path("activity/", activity.index, name="activity"),
    path("ticked/", ticked.act, name="testbeds-act"),
    path("first-steps/", steps.hide, name="first-steps"),
    path("testbeds/", RedirectView.as_view(pattern_name="testbeds")),
    path("testbeds/new/", create.new, name="testbed-new"),
    path("testbeds/new/name/", create.check_name, name="testbed-check-name"),
    path("testbeds/new/yaml/", create.check_yaml, name="testbed-check-yaml"),
    path("testbeds/<testbed:address>/", testbeds.detail, name="testbed"),
    path("testbeds/<testbed:address>/live/", testbeds.live, name="testbed-live"),
    path(
        "testbeds/<testbed:address>/budgets/", testbeds.budgets, name="testbed-budgets"
    ),
    path("testbeds/<testbed:address>/guests/", testbeds.guests, name="testbed-guests"),
    path("testbeds/<testbed:address>/guests/<str:name>/", pages.show, name="guest"),
    path(
        "testbeds/<testbed:address>/guests/<str:name>/load/",
        load.show,
        name="guest-load",
    ),
    path(
        "testbeds/<testbed:address>/guests/<str:name>/check/",
        checks.start,
        name="guest-check",
    ),
    path(
        "testbeds/<testbed:address>/delete/",
        testbed_deletion.delete,
        name="testbed-delete",
    ),
    path(
        "testbeds/<testbed:address>/disks/delete/",
        testbed_deletion.delete_disks,
        name="testbed-delete-disks",
    ),
    path("testbeds/<testbed:address>/labels/", labels.change, name="testbed-labels"),
    path(
        "testbeds/<testbed:address>/favourite/",
        labels.favourite,
        name="testbed-favourite",
    ),
    path("testbeds/<testbed:address>/sharing/", shares.index, name="testbed-sharing"),
    path(
        "testbeds/<testbed:address>/sharing/change/",
        shares.change,
        name="testbed-share",
    ),
    path("testbeds/<testbed:address>/owner/", shares.give, name="testbed-give"),
    path("testbeds/<testbed:address>/expiry/", expiry.change, name="testbed-expiry"),
    path("testbeds/<testbed:address>/charge/", shares.charge_to, name="testbed-charge"),
    path(
        "testbeds/<testbed:address>/protection/",
        protection.change,
        name="testbed-protection",
    ),
    path("testbeds/<testbed:address>/source/", sources.index, name="testbed-source"),
    path(
        "testbeds/<testbed:address>/source/change/",
        sources.change,
        name="source-change",
    ),
    path(
        "testbeds/<testbed:address>/source/secret/",
        sources.secret,
        name="source-secret",
    ),
    path(
        "testbeds/<testbed:address>/source/fetch/", sources.fetch, name="source-fetch"
    ),
    path(
        "testbeds/<testbed:address>/source/fetches/<int:pk>/",
        sources.one,
        name="fetch",
    ),
    path(
        "testbeds/<testbed:address>/source/fetches/<int:pk>/settle/",
        sources.settle,
        name="fetch-settle",
    ),
    path("hooks/<slug:token>/", hook.push, name="hook"),
    path("testbeds/<testbed:address>/edit/", editor.edit, name="testbed-edit"),
    path("testbeds/<testbed:address>/check/", editor.check, name="testbed-check"),
    path(
        "testbeds/<testbed:address>/edit/<path:path>",
        editor.edit,
        name="testbed-edit-file",
    ),
    path("testbeds/<testbed:address>/files/", files.upload, name="testbed-upload"),
    path("testbeds/<testbed:address>/files/new/", editor.new, name="testbed-new-file"),
    path(
        "testbeds/<testbed:address>/files/rename/", editor.rename, name="testbed-rename"
    ),
    path(
        "testbeds/<testbed:address>/files/remove/",
        file_deletion.remove,
        name="testbed-remove",
    ),
    path(
        "testbeds/<testbed:address>/files/<path:path>", files.show, name="testbed-file"
    ),
    path("testbeds/<testbed:address>/artefacts/", artefacts.index, name="artefacts"),
    path(
        "testbeds/<testbed:address>/artefacts.zip",
        artefacts.all_of,
        name="artefacts-zip",
    ),
    path(
        "testbeds/<testbed:address>/artefacts/<path:name>",
        artefacts.one,
        name="artefact",
    ),
    path("testbeds/<testbed:address>/ssh.zip", config.download, name="testbed-ssh"),
    path("testbeds/<testbed:address>/exec/", executions.start, name="testbed-exec"),
    path("testbeds/<testbed:address>/commands/", saved.index, name="testbed-commands"),
    path(
        "testbeds/<testbed:address>/commands/delete/",
        saved.delete,
        name="testbed-command-delete",
    ),
    path(
        "testbeds/<testbed:address>/exec/match/", executions.match, name="testbed-match"
    ),
    path("testbeds/<testbed:address>/power/", acts.power, name="testbed-power"),
    path("testbeds/<testbed:address>/up/", acts.up, name="testbed-up-guests"),
    path(
        "testbeds/<testbed:address>/snapshots/",
        snapshots.snapshots,
        name="testbed-snapshots",
    ),
    path(
        "testbeds/<testbed:address>/snapshots/schedules/",
        schedules.change,
        name="testbed-snapshot-schedules",
    ),
    path(
        "testbeds/<testbed:address>/guests/<str:name>/console/",
        consoles.show,
        name="guest-console",
    ),
    path(
        "testbeds/<testbed:address>/guests/<str:name>/console/ticket/",
        consoles.ticket,
        name="guest-console-ticket",
    ),
    path(
        "testbeds/<testbed:address>/captures/", captures.start, name="testbed-captures"
    ),
    path("testbeds/<testbed:address>/runs/", runs.of_testbed, name="testbed-runs"),
    path("runs/<int:pk>/", runs.detail, name="run"),
    path("runs/<int:pk>/stage/", runs.stage, name="run-stage"),
    path("runs/<int:pk>/waiting/", runs.waiting, name="run-waiting"),
    path("runs/<int:pk>/log/", logs.log, name="run-log"),
    path("runs/<int:pk>/log.txt", logs.log_text, name="run-log-text"),
    path("runs/<int:pk>/cancel/", runs.cancel, name="run-cancel"),
    path("runs/<int:pk>/answers/", answers.index, name="run-answers"),
    path("runs/<int:pk>/answers.zip", answers.archive, name="run-answers-zip"),
    path("runs/<int:pk>/answers/<str:guest>/", answers.one, name="run-answer"),
    path("runs/<int:pk>/capture.pcap", captures.download, name="run-capture"),
    path("runs/<int:pk>/difference/", answers.compare, name="run-difference"),
    path("runs/<int:pk>/fetched/", fetched.index, name="run-fetched"),
    path("runs/<int:pk>/fetched/file/", fetched.one, name="run-fetched-file"),
    path("runs/<int:pk>/fetched/archive/", fetched.archive, name="run-fetched-tar"),
    path("runs/<int:pk>/fetched/delete/", fetched.delete, name="run-fetched-delete"),
    path("testbeds/<testbed:address>/images/", saving.save, name="testbed-save-image"),
    path("testbeds/<testbed:address>/copy/", copying.copy, name="testbed-copy"),
    path("catalogue/", catalogue.index, name="catalogue"),
    path("catalogue/<int:pk>/delete/", catalogue.delete, name="catalogue-delete"),
    path("catalogue/<int:pk>/share/", catalogue.share, name="catalogue-share"),
    path("trash/", trash.index, name="trash"),
    path("trash/empty/", trash.empty, name="trash-empty"),
    path("trash/<int:pk>/restore/", trash.restore, name="trash-restore"),
    path("trash/<int:pk>/delete/", trash.delete, name="trash-delete"),
    path("hosts/", hosts.index, name="hosts"),
    path("hosts/<slug:name>/", hosts.show, name="host"),
    path("hosts/<slug:name>/load/", hosts.load, name="host-load"),
    path("hosts/<slug:name>/drain/", host_changes.drain, name="host-drain"),
    path("hosts/<slug:name>/edit/", host_changes.edit, name="host-edit"),
    path("hosts/<slug:name>/remove/", host_changes.remove, name="host-remove"),
    path("new-hosts/", new_hosts.index, name="new-hosts"),
    path("new-hosts/<slug:name>/", new_hosts.show, name="new-host"),
    path("new-hosts/<slug:name>/check/", new_hosts.check, name="new-host-check"),
    path("new-hosts/<slug:name>/confirm/", new_hosts.confirm, name="new-host-confirm"),
    path("new-hosts/<slug:name>/add/", new_hosts.add, name="new-host-add"),
    path("new-hosts/<slug:name>/discard/", new_hosts.discard, name="new-host-discard"),
    path("reservations/", reservations.index, name="reservations"),
    path("reservations/new/", reservation_acts.new, name="reservation-new"),
    path("reservations/<int:pk>/", reservations.show, name="reservation"),
    path(
        "reservations/<int:pk>/change/",
        reservation_acts.change,
        name="reservation-change",
    ),
    path(
        "reservations/<int:pk>/cancel/",
        reservation_acts.cancel,
        name="reservation-cancel",
    ),
    path("orphans/", orphans.index, name="orphans"),
    path("orphans/delete/", orphans.delete, name="orphans-delete"),
    path("orphans/adopt/", orphans.adopt, name="orphans-adopt"),
    path("orphans/cleanups/<int:pk>/", orphans.cleanup, name="cleanup"),
    path("images/", images.index, name="images"),
    path("images/look/", images.look, name="images-look"),
    path("images/delete/", images.delete, name="images-delete"),
    path("snapshots/act/", lab_snapshots.act, name="lab-snapshots-act"),
    path("snapshots/refresh/", lab_snapshots.refresh, name="lab-snapshots-refresh"),
    path("api/", document.operations, name="api"),
    path("api/v1/", api.urls),
    path("metrics", metrics, name="metrics"),
    path("kvm-compose.json", schema.kvm_compose, name="schema"),
    path("docs/yaml.md", schema.yaml_reference, name="yaml-reference"),
    # allauth's views, under the names by which it finds them.
    path("login/", passwords.sign_in, name="account_login"),
    path("logout/", require_POST(allauth.logout), name="account_logout"),
    path("password/", passwords.change, name="account_change_password"),
    path("password/none/", passwords.none_here, name="account_set_password"),
    path("password/reset/", passwords.reset, name="account_reset_password"),
    path(
        "password/reset/done/",
        allauth.password_reset_done,
        name="account_reset_password_done",
    ),
    path(
        "password/reset/key/done/",
        allauth.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    path(
        "password/reset/key/<slug:uidb36>/<str:key>/",
        allauth.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path("signup/", allauth.signup, name="account_signup"),
    path("register/", invitations.register, name="register"),
    path("invitations/", invitations.index, name="invitations"),
    path("invitations/withdraw/", invitations.withdraw, name="invitation-withdraw"),
    path("invitations/<str:token>/", invitations.accept, name="invitation"),
    path("account/", sessions.index, name="account"),
    path("login/second-factor/", mfa.authenticate, name="mfa_authenticate"),
    path(
        "login/openid/",
        openid.enter,
        {"provider_id": OPENID_ID},
        name="openid_connect_login",
    ),
    path(
        "login/openid/callback/",
        openid.come_back,
        {"provider_id": OPENID_ID},
        name="openid_connect_callback",
    ),
    path("account/identity/unbind/", openid.unbind, name="identity-unbind"),
    path("login/passkey/", webauthn.login_webauthn, name="mfa_login_webauthn"),
    path("account/confirm/", allauth.reauthenticate, name="account_reauthenticate"),
    path("account/confirm/code/", mfa.reauthenticate, name="mfa_reauthenticate"),
    path(
        "account/confirm/passkey/",
        webauthn.reauthenticate_webauthn,
        name="mfa_reauthenticate_webauthn",
    ),
    path(
        "account/second-factor/",
        RedirectView.as_view(pattern_name="account"),
        name="mfa_index",
    ),
    path("account/app/", totp.activate_totp, name="mfa_activate_totp"),
    path("account/app/remove/", totp.deactivate_totp, name="mfa_deactivate_totp"),
    path(
        "account/codes/",
        recovery_codes.view_recovery_codes,
        name="mfa_view_recovery_codes",
    ),
    path(
        "account/codes/new/",
        recovery_codes.generate_recovery_codes,
        name="mfa_generate_recovery_codes",
    ),
    path(
        "account/passkeys/",
        RedirectView.as_view(pattern_name="account"),
        name="mfa_list_webauthn",
    ),
    path("account/passkeys/new/", webauthn.add_webauthn, name="mfa_add_webauthn"),
    path(
        "account/passkeys/<int:pk>/remove/",
        webauthn.remove_webauthn,
        name="mfa_remove_webauthn",
    ),
    path("account/sessions/end/", sessions.end, name="session-end"),
    path("account/sessions/end-others/", sessions.end_others, name="sessions-end"),
    path("record/", record.index, name="record"),
    path("record/download/", record.download, name="record-download"),
    path(
        "testbeds/<testbed:address>/record/", record.of_testbed, name="testbed-record"
    ),
    path("testbeds/<testbed:address>/name/", labels.rename, name="testbed-name"),
    path("testbeds/<str:word>/", addresses.lead, name="testbed-word"),
    path("testbeds/<str:word>/<part:rest>", addresses.lead, name="testbed-word-part"),
    path("quotas/", quotas.index, name="quotas"),
    path("groups/", groups.index, name="groups"),
    path("groups/<int:pk>/", groups.show, name="group"),
    path("ssh-keys/", keys.index, name="ssh-keys"),
    path("tokens/", tokens.index, name="tokens"),
    path("tokens/revoke/", tokens.revoke, name="token-revoke"),
    path("notifications/", inbox.index, name="notifications"),
    path("notifications/<int:pk>/", inbox.show, name="notification"),
    path("notifications/read/", inbox.read, name="notifications-read"),
    path("notifications/bell/", inbox.bell, name="notifications-bell"),
    path("notifications/new/", inbox.new, name="notifications-new"),
    path("notifications/settings/", choices.index, name="notification-settings"),
    path("notifications/webhook/", choices.webhook, name="notification-webhook"),
    path("notifications/deliveries/", deliveries.index, name="deliveries"),
    path("notifications/deliveries/<int:pk>/", deliveries.again, name="delivery-again"),
    path("ssh-keys/remove/", keys.remove, name="ssh-key-remove"),
    path(
        "admin/login/",
        RedirectView.as_view(pattern_name="account_login", query_string=True),
    ),
    path(
        "admin/password_change/",
        RedirectView.as_view(pattern_name="account_change_password"),
    ),
    path("admin/", admin.site.urls),
]
handler400 = "testbed.views.problems.bad_request"
handler403 = "testbed.views.problems.forbidden"
handler404 = "testbed.views.problems.not_found"
handler500 = "testbed.views.problems.failed"
