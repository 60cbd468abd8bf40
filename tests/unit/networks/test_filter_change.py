"""What differs between two texts of the packet filter. That it comes to the same in a kernel is for tests/host/test_packet_filter.py."""

from dataclasses import replace

from networks.fabric.filter import render
from networks.fabric.filter_change import change
from networks.fabric.filter_rules import counter_name
from tests.unit.networks.plans import ALL, DUAL, NAT, PLAIN, RULED, TAG, WEB, rule


def with_rules(*rules):
    return render(TAG, (replace(NAT, nics=(PLAIN, replace(RULED, rules=rules))), *ALL[1:]))


def test_nothing_differs():
    assert change(render(TAG, ALL), render(TAG, ALL)) == ""


def test_another_rule_touches_its_chain_and_its_counter():
    before, after = rule(20, allow=True, protocol="tcp", ports=(80, 80)), rule(21, allow=True, protocol="tcp", ports=(81, 81))
    text = change(with_rules(before), with_rules(after))
    assert text is not None
    assert text.splitlines() == [
        "flush chain inet ow1a2b_nets in_2",
        f"delete counter inet ow1a2b_nets {counter_name(before.id)}",
        "table inet ow1a2b_nets {",
        f"\tcounter {counter_name(after.id)} {{",
        "\t\tpackets 0 bytes 0",
        "\t}",
        "\tchain in_2 {",
        f"\t\ttcp dport 81 counter name {counter_name(after.id)} return",
        "\t}",
        "}",
    ]


def test_a_counter_that_stays_is_not_touched():
    """Its count goes on."""
    new = rule(20)
    text = change(with_rules(WEB), with_rules(WEB, new))
    assert text is not None
    assert f"counter {counter_name(WEB.id)} {{" not in text
    assert f"counter {counter_name(new.id)} {{" in text


def test_what_a_rule_counted_in_both_tables_is_not_lost():
    """Without a deny no broadcast is judged: its counter in the bridge table goes, and the whole text adds up what it had counted."""
    stays, deny = rule(20, allow=True, protocol="udp"), rule(21)
    assert change(with_rules(stays, deny), with_rules(stays)) is None


def test_a_new_limit_or_table_is_a_matter_of_the_whole():
    with_rate = render(TAG, (replace(NAT, nics=(DUAL,)),))
    faster = render(TAG, (replace(NAT, nics=(replace(DUAL, rate_kbit=20_000),)),))
    assert change(with_rate, faster) is None
    assert change(with_rate, render(TAG, (replace(NAT, nics=(replace(DUAL, rate_kbit=0),)),))) is None
    assert change(render(TAG, ()), with_rate) is None
