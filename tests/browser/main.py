"""Tests of the operator's page in Chromium. See `run`."""

import contextlib
import os
import pathlib
import re
import signal
import sys
import time
import traceback

from playwright.sync_api import expect, sync_playwright

from hermod import HOSTILE, Hermod, eventually

PAGES = {
    "overview": "/ui",
    "jobs": "/ui/jobs",
    "dead": "/ui/dead",
    "workers": "/ui/workers",
    "providers": "/ui/providers",
    "keys": "/ui/keys",
    "webhooks": "/ui/webhooks",
}
SHOTS = os.environ.get("SHOTS")
# What a page reports of what its policy has refused, and how a test sees the streams that it opens.
WATCH = """
addEventListener("securitypolicyviolation", (event) =>
  console.error("policy: " + event.violatedDirective + " " + event.blockedURI + " " + event.sourceFile));
window.streams = [];
const Real = window.EventSource;
window.EventSource = class extends Real { constructor(...args) { super(...args); window.streams.push(this); } };
"""
expect.set_options(timeout=15_000)


class Browser:
    def __init__(self, chromium):
        self.chromium = chromium
        self.complaints = []

    @contextlib.contextmanager
    def page(self, url, **options):
        context = self.chromium.new_context(base_url=url, **options)
        context.add_init_script(WATCH)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: message.type in ("error", "warning") and self.complain(message.text))
        page.on("pageerror", lambda error: self.complain(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.complain(f"a script has run: {dialog.message}"), dialog.dismiss()))
        page.on("requestfailed", lambda request: self.failed(request))
        page.on("request", lambda request: self.foreign(request, url))
        try:
            yield page
        finally:
            context.close()

    def complain(self, text):
        # What a test asks for on purpose.
        if "the server responded with a status of" not in text:
            self.complaints.append(text)

    def failed(self, request):
        # A page that is left ends its stream and what it was loading.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"{request.url}: {request.failure}")

    def foreign(self, request, url):
        if not request.url.startswith((url, "data:")):
            self.complaints.append(f"asked elsewhere: {request.url}")


def go(page, path, status=200):
    answer = page.goto(path, wait_until="load")
    assert answer.status == status, f"{path}: {answer.status} instead of {status}"
    return page


def text_of(page):
    return page.locator("main").inner_text()


def confirmed(page):
    """The question in its dialog is answered with yes."""
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button").first.click()


def prepare(hermod):
    """Jobs of each kind. Gives their ids."""
    hook = {
        "name": f"hook {HOSTILE}"[:200],
        "url": hermod.receiver.url,
        "allow_private_network": True,
        "events": ["async_job.completed", "async_job.failed"],
        "retry_backoff_initial_seconds": 1,
    }
    try:
        hook = hermod.administer("POST", "/api/webhooks", hook)["endpoint"]["name"]
    except AssertionError as error:
        raise AssertionError(f"no webhook: {error}") from error
    key = {"x_bf_vk": "sk-bf-vk-hostile"}
    jobs = {
        "echo": hermod.submit(f"demo/echo-{HOSTILE}", HOSTILE, **key, x_bf_async_webhook=hook.encode().decode("latin-1")),
        "failed": hermod.submit(f"demo/{HOSTILE}", HOSTILE, **key),
        "error": hermod.submit("demo/fail-503", HOSTILE),
        "cools": hermod.submit("demo/retry-after-30", fallbacks=["demo/echo"]),
    }
    for name, id in jobs.items():
        hermod.ended(id, **(key if name in ("echo", "failed") else {}))
    for _ in range(12):
        hermod.ended(hermod.submit())
    # One is let through in an hour, the others wait for that.
    slow = {"x_bf_vk": "sk-bf-vk-slow"}
    hermod.ended(hermod.submit(**slow), **slow)
    jobs["limited"] = hermod.submit(**slow)
    jobs["later"] = hermod.submit(x_hermod_delay="3600")

    # The only place of the first worker is taken; another worker gets the rest, and dies with them.
    jobs["hangs"] = hermod.submit("demo/hang")
    hermod.running(1)
    worker = hermod.worker()
    jobs["dead"] = [hermod.submit("demo/hang-1"), hermod.submit("demo/hang-1"), hermod.submit(f"demo/hang-{HOSTILE}", **key)]
    hermod.running(4)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    return jobs


def the_link_of_hermod_up_leads_to_the_overview(browser, hermod, jobs):
    link = re.search(r"page +(http://\S+)", hermod.log())[1]
    with browser.page(hermod.url) as page:
        go(page, link)
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        expect(page.locator("svg .line.accepted")).to_have_count(2)
        expect(page.locator(".figures li")).to_have_count(7)


def a_job_that_runs_is_cancelled(browser, hermod, jobs):
    with browser.page(hermod.url) as page:
        go(page, "/ui/jobs?state=running")
        page.locator(f"a[href='/ui/jobs/{jobs['hangs']}']").click()
        expect(page.locator("h1 .badge")).to_have_text("running")
        page.get_by_role("link", name="Cancel").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("button", name="Cancel the job")).to_be_focused()
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        page.get_by_role("link", name="Cancel").click()
        dialog.get_by_text("Leave it").click()
        expect(dialog).to_be_hidden()
        assert hermod.job(jobs["hangs"])["status"] == "processing"
        page.get_by_role("link", name="Cancel").click()
        confirmed(page)
        expect(page.get_by_role("status")).to_contain_text("is being cancelled")
        # Without a further look by hand.
        expect(page.locator("h1 .badge")).to_have_text("cancelled")
        expect(page.get_by_role("link", name="Cancel")).to_have_count(0)
    assert hermod.job(jobs["hangs"])["status_code"] == 499
    assert '"cancelled a job"' in hermod.log() or "cancelled a job" in hermod.log()


def a_job_shows_its_life(browser, hermod, jobs):
    with browser.page(hermod.url) as page:
        go(page, f"/ui/jobs/{jobs['error']}")
        expect(page.locator("h1 .badge")).to_have_text("failed 503")
        rows = page.locator(".timeline tbody tr")
        expect(rows.first).to_contain_text("accepted")
        expect(rows.filter(has_text="demo/fail-503")).to_have_count(3)
        expect(rows.last).to_contain_text("failed")
        go(page, f"/ui/jobs/{jobs['echo']}")
        expect(page.get_by_role("heading", name="Webhook deliveries")).to_be_visible()
        expect(page.locator("tr").filter(has_text="delivered")).to_have_count(1)
        assert HOSTILE in text_of(page)
        assert "in-the-query" not in page.content()
        page.get_by_role("link", name="Request and answer").click()
        expect(page.locator("pre").last).to_contain_text("alert(2)")
        go(page, f"/ui/jobs/{jobs['limited']}")
        expect(page.locator("main")).to_contain_text("waits for")
        go(page, f"/ui/jobs/{jobs['dead'][0]}")


def jobs_are_found_and_filtered(browser, hermod, jobs):
    with browser.page(hermod.url) as page:
        go(page, "/ui/jobs")
        page.get_by_label("Id of a job").fill(f"  {jobs['failed']} ")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/ui/jobs/{jobs['failed']}")
        go(page, "/ui/jobs?id=x", 400)
        rows = page.locator("tbody tr")
        for state, least in [("waiting", 1), ("sleeping", 1), ("ended", 10), ("completed", 10), ("failed", 3), ("cancelled", 1)]:
            go(page, "/ui/jobs")
            page.get_by_label("State").select_option(state)
            page.get_by_role("button", name="Filter").click()
            page.wait_for_url(f"**state={state}**")
            assert rows.count() >= least, f"{state}: {rows.count()}"
        go(page, "/ui/jobs")
        page.get_by_label("Model").fill("demo/fail-503")
        page.get_by_label("Endpoint").select_option("completions")
        page.get_by_role("button", name="Filter").click()
        expect(rows).to_have_count(1)
        page.get_by_label("Key").select_option("vk-slow")
        page.get_by_label("Model").fill("")
        page.get_by_role("button", name="Filter").click()
        expect(rows).to_have_count(2)


def dead_jobs_are_queued_again(browser, hermod, jobs):
    for id in jobs["dead"][:2]:
        hermod.ended(id)
    with browser.page(hermod.url) as page:
        go(page, "/ui/dead")
        shot(page, "dead")
        boxes = page.locator("input[name=id]")
        expect(boxes).to_have_count(3)
        # While somebody selects, nothing changes under their hands.
        boxes.nth(0).check()
        expect(page.locator("#pulse")).to_have_text("held")
        page.get_by_label("Select all that are shown").check()
        assert page.locator("input[name=id]:checked").count() == 3
        page.get_by_label("Select all that are shown").uncheck()

        # One, with the keyboard alone.
        page.locator(f"tr:has(a[href='/ui/jobs/{jobs['dead'][0]}']) .act a").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_contain_text("1 job is queued again")
        expect(boxes).to_have_count(2)

        # Those that are selected.
        boxes.nth(0).check()
        page.get_by_role("button", name="Queue the selected again").click()
        confirmed(page)
        expect(page.get_by_role("status")).to_contain_text("1 job is queued again")
        expect(boxes).to_have_count(1)

        # All that match.
        page.get_by_role("link", name="Queue all that match again").click()
        expect(page.get_by_role("dialog")).to_contain_text("1 jobs match now")
        confirmed(page)
        expect(page.get_by_role("status")).to_contain_text("1 job is queued again")
        expect(page.locator("main")).to_contain_text("No job is dead")
    for id in jobs["dead"]:
        with browser.page(hermod.url) as page:
            go(page, f"/ui/jobs/{id}")
            page.get_by_role("link", name="Cancel").click()
            confirmed(page)
            expect(page.locator("h1 .badge")).to_have_text("cancelled")


def workers_are_paused_and_resumed(browser, hermod, jobs):
    with browser.page(hermod.url) as page:
        go(page, "/ui")
        page.get_by_role("link", name="Pause", exact=True).click()
        confirmed(page)
        expect(page.get_by_role("status")).to_contain_text("Paused")
        expect(page.locator(".summary .paused")).to_be_visible()
        page.get_by_role("link", name="Resume").click()
        confirmed(page)
        expect(page.locator(".summary .paused")).to_have_count(0)
    assert "resumed all workers" in hermod.log()


def a_cooldown_is_ended(browser, hermod, jobs):
    with browser.page(hermod.url) as page:
        go(page, "/ui/providers")
        expect(page.locator("tr").filter(has_text="demo").filter(has_text="echo").first).to_be_visible()
        row = page.locator("tr").filter(has_text="cools down").filter(has_text="demo/retry-after-30")
        while True:
            before = row.count()
            if before == 0:
                break
            row.first.get_by_role("link", name="End it").click()
            confirmed(page)
            expect(page.get_by_role("status")).to_contain_text("The cooldown is ended")
            expect(row).to_have_count(before - 1)
        page.get_by_role("link", name="Last day").click()
        expect(page.get_by_role("link", name="Last day")).to_have_attribute("aria-current", "true")


def keys_workers_and_webhooks_are_shown(browser, hermod, jobs):
    with browser.page(hermod.url) as page:
        go(page, "/ui/keys")
        expect(page.locator("tr").filter(has_text="nightly evaluation").filter(has_text="request_limited").or_(
            page.locator("tr").filter(has_text="nightly evaluation").first)).not_to_have_count(0)
        expect(page.get_by_role("heading", name="Who waits for what")).to_be_visible()
        expect(page.locator(".limit").filter(has_text="budget")).to_have_count(1)
        assert HOSTILE in text_of(page) and "sk-bf-" not in page.content()
        go(page, "/ui/workers")
        expect(page.locator("tbody tr").filter(has_text="1")).not_to_have_count(0)
        go(page, "/ui/webhooks")
        expect(page.locator("tr").filter(has_text="delivered 200")).not_to_have_count(0)
        expect(page.locator("tr").filter(has_text="retryable failure 500")).not_to_have_count(0)
        assert "in-the-query" not in page.content()


def a_page_follows_what_happens_while_it_is_seen(browser, hermod, jobs):
    with browser.page(hermod.url) as page:
        go(page, "/ui")
        page.evaluate("window.mark = 1")
        expect(page.locator("#pulse")).to_have_text("live")
        running = page.locator(".summary .running b")
        expect(running).to_have_text("0")
        id = hermod.submit("demo/hang")
        expect(running).to_have_text("1")
        # Hidden, it asks for nothing.
        see = "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }); document.dispatchEvent(new Event('visibilitychange')); }"
        page.evaluate(see, True)
        assert page.evaluate("streams.every((stream) => stream.readyState === EventSource.CLOSED)")
        hermod.ask("POST", f"/v1/async/completions/{id}/cancel")
        hermod.ended(id)
        streams = page.evaluate("streams.length")
        expect(running).to_have_text("1")
        page.evaluate(see, False)
        expect(running).to_have_text("0")
        assert page.evaluate("[streams.length, mark]") == [streams + 1, 1], "it was loaded anew"
        # Without events it looks for itself.
        context = page.context.new_page()
        context.add_init_script("delete window.EventSource; window.EventSource = undefined")
        go(context, "/ui")
        id = hermod.submit("demo/hang")
        expect(context.locator(".summary .running b")).to_have_text("1")
        hermod.ask("POST", f"/v1/async/completions/{id}/cancel")


def keys_lead_everywhere(browser, hermod, jobs):
    with browser.page(hermod.url) as page:
        go(page, "/ui")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        for keys, path in [("gj", "/ui/jobs"), ("gd", "/ui/dead"), ("5", "/ui/providers"), ("gk", "/ui/keys"), ("go", "/ui")]:
            page.locator("body").press(keys[0])
            if keys[1:]:
                page.locator("body").press(keys[1])
            page.wait_for_url(f"**{path}")
        page.locator("body").press("/")
        page.wait_for_url("**/ui/jobs#id")
        expect(page.get_by_label("Id of a job")).to_be_focused()


def without_a_script_it_can_be_read_and_acts(browser, hermod, jobs):
    with browser.page(hermod.url, java_script_enabled=False) as page:
        for path in [*PAGES.values(), f"/ui/jobs/{jobs['echo']}"]:
            go(page, path)
            assert page.locator("h1").count() == 1
        assert 'http-equiv="refresh"' in page.content()
        id = hermod.submit("demo/hang")
        go(page, f"/ui/jobs/{id}")
        page.get_by_role("link", name="Cancel").click()
        expect(page.get_by_role("heading", name="Cancel this job?")).to_be_visible()
        page.get_by_role("link", name="Leave it").click()
        page.wait_for_url(f"**/ui/jobs/{id}")
        page.get_by_role("link", name="Cancel").click()
        page.get_by_role("button", name="Cancel the job").click()
        expect(page.get_by_role("status")).to_contain_text("cancelled")
        hermod.ended(id)
        go(page, "/ui")
        page.get_by_role("link", name="Pause", exact=True).click()
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("main")).to_contain_text("no worker claims anything")
        page.get_by_role("link", name="Resume").click()
        page.get_by_role("button", name="Resume").click()


def a_login_opens_it(browser, hermod, jobs):
    login = {"is_enabled": True, "admin_username": "ops", "admin_password": "correct horse"}
    url = hermod.api(login)
    with browser.page(url) as page:
        go(page, "/ui/dead")
        assert page.url.endswith("/ui/login?next=%2Fui%2Fdead"), page.url
        shot(page, "login")
        page.get_by_label("Name").fill("ops")
        page.get_by_label("Password").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("Wrong name or password.")
        page.get_by_label("Name").fill("ops")
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/ui/dead")
        cookie = page.context.cookies()[0]
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and cookie["path"] == "/ui", cookie
        expect(page.locator("#pulse")).to_have_text("live")
        go(page, "/ui")
        page.get_by_role("link", name="Pause", exact=True).click()
        confirmed(page)
        expect(page.get_by_role("status")).to_contain_text("Paused")
        page.get_by_role("link", name="Resume").click()
        confirmed(page)
        expect(page.get_by_role("status")).to_contain_text("Resumed")
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/ui/login")
        go(page, "/ui")
        assert "/ui/login" in page.url


def read_only_is_without_actions(browser, hermod, jobs):
    url = hermod.api(HERMOD_UI="read-only", HERMOD_UI_CONTENT="off")
    with browser.page(url) as page:
        for path in [*PAGES.values(), *(f"/ui/jobs/{jobs[name]}" for name in ("limited", "echo"))]:
            go(page, path)
            expect(page.locator(".top")).to_contain_text("read-only")
            assert page.locator("[data-confirm], main form[method=post]").count() == 0, path
            assert page.get_by_role("link", name="Request and answer").count() == 0
        go(page, "/ui/confirm/pause", 403)
        go(page, f"/ui/jobs/{jobs['echo']}/content", 403)


def on_a_phone_nothing_is_wider_than_it(browser, hermod, jobs):
    with browser.page(hermod.url, viewport={"width": 360, "height": 740}) as page:
        for path in [*PAGES.values(), f"/ui/jobs/{jobs['echo']}", f"/ui/jobs/{jobs['error']}", "/ui/confirm/pause"]:
            go(page, path)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 360, f"{path} is {wide} wide"


def shot(page, name):
    if not SHOTS:
        return
    folder = pathlib.Path(SHOTS)
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for size, viewport in {"wide": (1280, 860), "phone": (390, 844)}.items():
            page.set_viewport_size({"width": viewport[0], "height": viewport[1]})
            page.screenshot(path=folder / f"{name}-{scheme}-{size}.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 860})


def pictures(browser, hermod, jobs):
    """Pictures of each page, where they are wanted."""
    if not SHOTS:
        return
    hermod.fill_the_day()
    with browser.page(hermod.url) as page:
        paths = {**PAGES, "job": f"/ui/jobs/{jobs['echo']}", "job-failed": f"/ui/jobs/{jobs['error']}"}
        paths |= {"job-waiting": f"/ui/jobs/{jobs['limited']}", "content": f"/ui/jobs/{jobs['echo']}/content"}
        paths |= {"confirm": "/ui/confirm/pause", "job-dead": f"/ui/jobs/{jobs['dead'][0]}"}
        for name, path in paths.items():
            go(page, path)
            shot(page, name)


TESTS = [
    pictures,
    the_link_of_hermod_up_leads_to_the_overview,
    a_job_that_runs_is_cancelled,
    a_job_shows_its_life,
    jobs_are_found_and_filtered,
    on_a_phone_nothing_is_wider_than_it,
    keys_workers_and_webhooks_are_shown,
    a_cooldown_is_ended,
    dead_jobs_are_queued_again,
    workers_are_paused_and_resumed,
    a_page_follows_what_happens_while_it_is_seen,
    keys_lead_everywhere,
    without_a_script_it_can_be_read_and_acts,
    a_login_opens_it,
    read_only_is_without_actions,
]


def main():
    wanted = sys.argv[1:]
    begun, failed = time.monotonic(), []
    hermod = Hermod()
    try:
        jobs = prepare(hermod)
        print(f"prepared in {time.monotonic() - begun:.1f} s")
        with sync_playwright() as playwright:
            args = ["--no-sandbox", "--disable-dev-shm-usage"]
            chromium = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=args)
            browser = Browser(chromium)
            for test in TESTS:
                if wanted and test.__name__ not in wanted:
                    continue
                at, browser.complaints = time.monotonic(), []
                try:
                    test(browser, hermod, jobs)
                    assert not browser.complaints, browser.complaints
                    print(f"ok      {test.__name__} ({time.monotonic() - at:.1f} s)")
                except Exception:
                    failed.append(test.__name__)
                    print(f"FAILED  {test.__name__} ({time.monotonic() - at:.1f} s)")
                    traceback.print_exc(file=sys.stdout)
            chromium.close()
        if failed:
            print(hermod.log()[-6000:])
    finally:
        hermod.stop()
    print(f"{len(failed)} failed, in {time.monotonic() - begun:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
