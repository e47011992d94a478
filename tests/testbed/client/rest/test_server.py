"""The client's requests, against a transport that plays a server."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator

import httpx
import pytest

from orchestration.errors import TestbedError
from testbed.client.rest.addresses import path_of
from testbed.client.rest.problems import (
    Declined,
    NotThere,
    ServerProblem,
    ServerUnreachable,
    StaleCopy,
    TokenRefused,
    VersionsDiffer,
)
from testbed.client.rest.server import Server

Play = Callable[[httpx.Request], httpx.Response]
DOCUMENT = {"info": {"version": "3.0"}}
ERASES = {"confirm": "abc", "must_type": "lab", "losses": [], "kept": []}


def served(play: Play, **more: object) -> Server:
    transport = httpx.MockTransport(play)
    return Server("http://lab.example/", "tb_x", transport=transport, **more)  # type: ignore[arg-type]


def problem(status: int, **more: object) -> httpx.Response:
    return httpx.Response(status, json={"detail": "No.", "hint": "Ask."} | more)


def test_token_and_path_are_sent() -> None:
    seen: list[httpx.Request] = []

    def play(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"account": "olive"})

    assert served(play).get("/me") == {"account": "olive"}
    assert str(seen[0].url) == "http://lab.example/api/v1/me"
    assert seen[0].headers["Authorization"] == "Bearer tb_x"


def test_all_pages_of_a_list_are_read() -> None:
    items = [{"n": number} for number in range(450)]

    def play(request: httpx.Request) -> httpx.Response:
        page, size = (int(request.url.params[k]) for k in ("page", "per_page"))
        part = items[(page - 1) * size : page * size]
        return httpx.Response(200, json={"items": part, "count": len(items)})

    assert list(served(play).pages("/testbeds")) == items


def test_list_without_an_end_is_one_sentence() -> None:
    def play(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": [{}] * 1000, "count": 10**12})

    with pytest.raises(TestbedError, match="/api/v1/testbeds sends more than"):
        list(served(play).pages("/testbeds"))


def test_list_of_short_pages_without_an_end_is_one_sentence() -> None:
    def play(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": [{}], "count": 10**12})

    with pytest.raises(TestbedError, match="/api/v1/testbeds sends more than"):
        list(served(play).pages("/testbeds"))


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("packed", [True, False])
def test_answer_without_an_end_is_one_sentence(status: int, packed: bool) -> None:
    block = bytes(1024 * 1024)

    def blocks() -> Iterator[bytes]:
        packer = zlib.compressobj(wbits=31)
        while True:
            yield packer.compress(block) if packed else block

    def play(request: httpx.Request) -> httpx.Response:
        headers = {"Content-Encoding": "gzip"} if packed else {}
        return httpx.Response(status, content=blocks(), headers=headers)

    with pytest.raises(TestbedError, match="sends more than"):
        served(play).get("/me")
    if status != 200:
        with pytest.raises(TestbedError, match="sends more than"):
            list(served(play).text("/runs/1/log"))


def test_body_of_a_redirect_is_not_read() -> None:
    taken = 0

    def blocks() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield bytes(1024)

    def play(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/found":
            return httpx.Response(200, json={"account": "olive"})
        headers = {"Location": "/found"}
        return httpx.Response(302, content=blocks(), headers=headers)

    assert served(play).get("/me") == {"account": "olive"}
    assert "".join(served(play).text("/me")) == '{"account":"olive"}'
    assert taken == 0


def test_redirect_to_another_server_gets_no_token() -> None:
    seen: list[httpx.Request] = []

    def play(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.host == "other.example":
            return httpx.Response(200, json={"account": "olive"})
        return httpx.Response(302, headers={"Location": "http://other.example/"})

    served(play).get("/me")

    assert ["Authorization" in one.headers for one in seen] == [True, False]


def test_packed_answer_is_read() -> None:
    def play(request: httpx.Request) -> httpx.Response:
        content = gzip.compress(b'{"account": "olive"}')
        return httpx.Response(
            200, content=content, headers={"Content-Encoding": "gzip"}
        )

    assert served(play).get("/me") == {"account": "olive"}


def test_refusal_without_an_end_is_cut() -> None:
    def play(request: httpx.Request) -> httpx.Response:
        return problem(409, detail="No. " * 10_000)

    with pytest.raises(ServerProblem) as caught:
        served(play).get("/me")

    assert len(caught.value.message) < 3_000


def test_question_without_an_end_is_cut() -> None:
    def play(request: httpx.Request) -> httpx.Response:
        return problem(428, detail="No. " * 10_000, erases=ERASES)

    with pytest.raises(Declined) as caught:
        served(play).delete("/testbeds/olive/lab")

    assert len(caught.value.message) < 3_000


def test_answer_that_leads_in_a_circle_is_one_sentence() -> None:
    def play(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": "/again"})

    with pytest.raises(ServerUnreachable):
        served(play).get("/me")


def test_answer_that_is_not_packed_as_it_says_is_one_sentence() -> None:
    def play(request: httpx.Request) -> httpx.Response:
        rubbish = httpx.ByteStream(b"rubbish")
        return httpx.Response(200, stream=rubbish, headers={"Content-Encoding": "gzip"})

    with pytest.raises(ServerUnreachable):
        served(play).get("/me")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, TokenRefused), (404, NotThere), (412, StaleCopy), (409, ServerProblem)],
)
def test_refusal_has_the_servers_words(status: int, kind: type[ServerProblem]) -> None:
    def play(request: httpx.Request) -> httpx.Response:
        is_document = request.url.path.endswith("openapi.json")
        return httpx.Response(200, json=DOCUMENT) if is_document else problem(status)

    with pytest.raises(kind) as caught:
        served(play).get("/me")

    assert (caught.value.message, caught.value.hint) == ("No.", "Ask.")
    assert caught.value.status == status


def test_page_of_another_program_is_no_refusal_of_the_server() -> None:
    for status in (502, 200):
        answer = httpx.Response(status, text="<html>Bad gateway")
        server = served(lambda request, answer=answer: answer)

        with pytest.raises(ServerProblem, match=f"answers {status} and no words of a"):
            server.get("/me")


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1", "The server is too old"),
        ("2.9", "The server is too old"),
        ("4.0", "This command line is too old"),
    ],
)
def test_operation_that_is_not_there_names_the_version_that_is_too_old(
    version: str, words: str
) -> None:
    def play(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("openapi.json"):
            return httpx.Response(200, json={"info": {"version": version}})
        return problem(404)

    with pytest.raises(VersionsDiffer, match=words):
        served(play).get("/testbeds/olive/lab/inputs")


def test_newer_server_of_the_same_first_number_is_used() -> None:
    server = served(
        lambda request: httpx.Response(200, json={"info": {"version": "3.9"}})
    )

    server.require_version()


def test_keyed_request_is_sent_again_with_its_key_after_a_broken_connection() -> None:
    keys: list[str] = []

    def play(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 1:
            raise httpx.ReadError("reset")
        body = {"run": 7, "status": "pending", "instructions": []}
        return httpx.Response(202, json=body)

    assert served(play).start("/testbeds/olive/lab/runs", {"command": "up"}).number == 7
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_request_without_a_key_is_sent_once() -> None:
    count = 0

    def play(request: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        raise httpx.ReadError("reset")

    with pytest.raises(ServerUnreachable, match="does not answer: reset"):
        served(play).send("POST", "/runs/7/cancel")
    assert count == 1


def test_act_that_erases_is_sent_with_its_token_when_the_user_agrees() -> None:
    asked: list[object] = []

    def play(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if body.get("confirm") != "abc":
            return problem(428, erases=ERASES)
        return httpx.Response(
            202, json={"run": 7, "status": "pending", "instructions": []}
        )

    server = served(play, agrees=lambda erases: asked.append(erases) or True)

    assert server.start("/x", {"command": "clear-artefacts"}).number == 7
    assert asked == [ERASES]


def test_act_that_erases_is_not_done_without_agreement() -> None:
    server = served(lambda request: problem(428, erases=ERASES))

    with pytest.raises(Declined) as caught:
        server.start("/x", {"command": "clear-artefacts"})

    assert caught.value.hint == "Nothing was done. Add --yes to erase this."


def test_list_of_what_dies_that_changes_again_and_again_is_no_agreement() -> None:
    count = 0

    def play(request: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        return problem(428, erases={**ERASES, "confirm": str(count)})

    with pytest.raises(Declined):
        served(play, agrees=lambda erases: True).delete("/testbeds/olive/lab")
    assert count == 5


def test_log_that_breaks_off_is_one_sentence() -> None:
    class Broken(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"line"
            raise httpx.ReadError("reset")

    server = served(lambda request: httpx.Response(200, stream=Broken()))

    with pytest.raises(ServerUnreachable, match="does not answer: reset"):
        list(server.text("/runs/7/log"))


def test_busy_server_is_asked_again_when_it_says() -> None:
    waited: list[float] = []
    answers = [
        httpx.Response(429, headers={"Retry-After": "7"}, json={"detail": "Slow."}),
        httpx.Response(200, json={}),
    ]
    server = served(lambda request: answers.pop(0), sleep=waited.append)

    server.get("/me")

    assert waited == [7.0]


def test_file_is_saved_in_place_of_the_one_that_was_seen() -> None:
    seen: list[httpx.Headers] = []

    def play(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, json={"etag": '"new"'})

    server = served(play)

    assert server.save("/x", b"1", seen="old") == "new"
    assert server.save("/x", b"1", seen="") == "new"
    assert seen[0]["If-Match"] == '"old"'
    assert seen[1]["If-None-Match"] == "*"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("olive/lab", "/testbeds/olive/lab/runs"),
        ("o live/lab", "/testbeds/o~20live/lab/runs"),
        ("../lab", "/testbeds/~2E~2E/lab/runs"),
        ("new/lab", "/testbeds/~6E~65~77/lab/runs"),
    ],
)
def test_account_is_written_as_the_servers_addresses_are(name: str, path: str) -> None:
    assert path_of(name, "runs") == path
