"""Pages checked by axe-core for what keeps people out: missing names, too little contrast, a wrong order."""

from __future__ import annotations

from importlib.resources import files

from playwright.async_api import Page

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
THEMES = ("light", "dark")


async def problems(page: Page) -> list[str]:
    """What axe finds on the page as it is now: its rules, each with the elements that break it."""
    await page.evaluate(AXE)
    found = await page.evaluate("axe.run({ resultTypes: ['violations'] }).then(({ violations }) => violations)")
    return [f"{one['id']}: {[node['html'][:200] for node in one['nodes']]}" for one in found]


async def problems_in_both_themes(page: Page) -> list[str]:
    found: list[str] = []
    for theme in THEMES:
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
        found += [f"{theme}: {one}" for one in await problems(page)]
    return found
