"""Pages checked by axe-core for what keeps people out: missing names, too little contrast, a wrong order."""

from __future__ import annotations

from importlib.resources import files

from playwright.async_api import Page

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()


async def problems(page: Page, *rules: str) -> list[str]:
    """What axe finds on the page as it is now: its rules, or these alone, each with the elements that break it."""
    await page.evaluate(AXE)
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found = await page.evaluate("options => axe.run(options).then(({ violations }) => violations)", options)
    return [f"{one['id']}: {[node['html'][:200] for node in one['nodes']]}" for one in found]


async def problems_in_both_themes(page: Page) -> list[str]:
    """What axe finds in the light theme, and of contrast in the dark one: nothing else depends on the theme."""
    await page.emulate_media(color_scheme="light", reduced_motion="reduce")
    light = await problems(page)
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    return light + [f"dark: {one}" for one in await problems(page, "color-contrast")]
