"""What templates say often: icons, sizes, times. Load it with `{% load panel %}`."""

from datetime import datetime

from django import template
from django.http import QueryDict
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

MINUTE, HOUR, DAY = 60, 3600, 86_400


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """A picture of static/icons.svg; decoration unless it has a label of its own."""
    if label:
        return format_html('<svg class="ow-icon" role="img" aria-label="{}"><use href="{}#{}"/></svg>', label, static("icons.svg"), name)
    return format_html('<svg class="ow-icon" aria-hidden="true"><use href="{}#{}"/></svg>', static("icons.svg"), name)


@register.filter
def mib(value: int) -> str:
    """256 → "256 MiB", 2048 → "2 GiB"."""
    return f"{value / 1024:.3g} GiB" if value >= 1024 else f"{value} MiB"


@register.filter
def octets(value: int) -> str:
    """Bytes for people, in powers of 1024."""
    size = float(value or 0)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}" if unit != "B" else f"{value} B"
        size /= 1024
    return f"{size:.3g} GiB"


@register.filter
def rate(value: float) -> str:
    """Bytes a second, no more exact than they are: "0 B/s", "<1 B/s", "1.4 KiB/s", "23 MiB/s"."""
    if 0 < value < 1:
        return "<1 B/s"
    for unit in ("B", "KiB", "MiB"):
        if value < 999.5:
            return f"{value:.1f} {unit}/s" if value < 9.95 and unit != "B" else f"{value:.0f} {unit}/s"
        value /= 1024
    return f"{value:.1f} GiB/s"


@register.filter
def frequency(value: float) -> str:
    """Packets a second: "0/s", "<1/s", "12/s"."""
    return "<1/s" if 0 < value < 1 else f"{value:.0f}/s"


def span(seconds: float) -> str:
    """ "12 s", "5 min", "3 h 10 min", "4 d 2 h": two units at most. static/js/times.js says the same."""
    whole = max(0, int(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


@register.filter
def age(at: datetime | None) -> SafeString | str:
    """How long ago, kept true by static/js/times.js."""
    if at is None:
        return "–"
    text = span((timezone.now() - at).total_seconds())
    return format_html('<time datetime="{}" title="{}" data-age>{}</time>', at.isoformat(), f"{at:%d %b %Y, %H:%M:%S} UTC", text)


@register.filter
def until(at: datetime) -> SafeString:
    """How long still, kept true by static/js/times.js."""
    text = span((at - timezone.now()).total_seconds())
    return format_html('<time datetime="{}" title="{}" data-until>{}</time>', at.isoformat(), f"{at:%d %b %Y, %H:%M:%S} UTC", text)


@register.filter
def seconds(value: int) -> str:
    """3600 → "1 h", 5400 → "1 h 30 min"."""
    return span(value).removesuffix(" 0 min").removesuffix(" 0 h")


FIELD_LABELS = {
    "vcpus": "vCPUs",
    "memory_mib": "memory",
    "args": "arguments",
    "env": "environment",
    "secret_env": "secret names",
    "hosts": "host names",
    "nameservers": "name servers",
    "reboot_on_exit": "reboot on exit",
    "image_id": "image",
}


@register.filter
def field_label(name: str) -> str:
    """A column's name for people."""
    return FIELD_LABELS.get(name, name)


@register.simple_tag(takes_context=True)
def sorted_query(context: template.Context, column: str, *, down: bool = False) -> str:
    """The page's query, sorted by `column`, on its first page."""
    query: QueryDict = context["request"].GET.copy()
    query["sort"] = f"-{column}" if down else column
    query.pop("page", None)
    return query.urlencode()


@register.simple_tag(takes_context=True)
def here(context: template.Context) -> str:
    """The page's address with its team named, for a form: another tab may look at another team meanwhile."""
    request, panel = context["request"], context.get("panel")
    query: QueryDict = request.GET.copy()
    if panel and panel.team:
        query["team"] = panel.team.name
    return f"{request.path}?{query.urlencode()}"


@register.filter
def short(digest: str) -> str:
    """The first eight characters of a digest."""
    return digest[:8]
