"""The Nu HTML checker finds nothing in the pages."""

from pathlib import Path

from tests.markup import markup_errors
from tests.notify.conftest import Receiver
from tests.notify.portal.conftest import Portal
from tests.notify.portal.test_delivery_pages import failed
from tests.notify.portal.test_subscription_pages import act_of


async def test_the_markup_is_valid(portal: Portal, receiver: Receiver, tmp_path: Path) -> None:
    mine, rows = await failed(portal, receiver, 2)
    await portal.desk.fan_out([await portal.desk.put("waiting")])
    browser = await portal.subscriber()
    of_it = f"/portal/subscriptions/{mine.id}"
    paths = [
        *("/portal", "/portal/new", "/portal/live", "/portal/signatures", "/portal/keys", "/portal/open/none"),
        *(of_it, f"{of_it}/edit", f"{of_it}/delete", f"{of_it}/deliveries", f"{of_it}/deliveries/{rows[0]['id']}"),
        f"{of_it}/replay?since=2026-01-01T00:00",
    ]
    documents = {path: (await browser.get(path)).text for path in paths}
    await browser.get(of_it)
    documents["tested"] = (await browser.post(of_it, do="test")).text
    await browser.get("/portal/new")
    documents["refused"] = (
        await browser.post("/portal/new", act=act_of(browser), url=receiver.url, query="a*", rate="x")
    ).text
    assert markup_errors(documents, tmp_path) == []
