from types import ModuleType

import pytest


@pytest.mark.parametrize(
    ("ecosystem", "name", "version", "purl"),
    [
        ("npm", "serve-static", "1.7.1", "pkg:npm/serve-static@1.7.1"),
        ("npm", "@angular/animation", "12.3.1", "pkg:npm/%40angular/animation@12.3.1"),
        ("npm", "@MyScope/MyPackage", "1.0.0", "pkg:npm/%40myscope/mypackage@1.0.0"),
        ("npm", "my-package.js", "1.0.0-rc.1", "pkg:npm/my-package.js@1.0.0-rc.1"),
        ("npm", "foo", "1.2.3+build 4", "pkg:npm/foo@1.2.3%2Bbuild%204"),
        ("maven", "net.iharder:base64", "2.3.9", "pkg:maven/net.iharder/base64@2.3.9"),
        ("maven", "org.HTTPArtifacts:Some_Name", "1", "pkg:maven/org.HTTPArtifacts/Some_Name@1"),
        ("pypi", "Django", "1.11.1", "pkg:pypi/django@1.11.1"),
        ("pypi", "zope.interface__x-.y", "5!1.0", "pkg:pypi/zope-interface-x-y@5%211.0"),
        ("pypi", "a", "1:2/3@4#5?é", "pkg:pypi/a@1:2%2F3%404%235%3F%C3%A9"),
    ],
)
def test_coordinates_become_the_package_url_of_the_specification(
    core_worker: ModuleType, ecosystem: str, name: str, version: str, purl: str
) -> None:
    assert core_worker.package_url(ecosystem, name, version) == purl


@pytest.mark.parametrize(
    ("ecosystem", "name", "version"),
    [
        ("cobol", "a", "1"),
        ("", "a", "1"),
        ("npm", "", "1"),
        ("npm", "a/b", "1"),
        ("npm", "@/b", "1"),
        ("npm", "../../etc/passwd", "1"),
        ("npm", "a b", "1"),
        ("npm", "git+https://host/repository.git", "1"),
        ("npm", 7, "1"),
        ("npm", "a\n", "1"),
        ("npm", "é", "1"),
        ("maven", "base64", "1"),
        ("maven", "a:b:c", "1"),
        ("maven", ":b", "1"),
        ("pypi", "-r", "1"),
        ("pypi", "requests[security]", "1"),
        ("pypi", "a" * 501, "1"),
        ("pypi", "a", ""),
        ("pypi", "a", None),
        ("pypi", "a", "1\x00"),
        ("pypi", "a", "\ud800"),
        ("pypi", "a", "1" * 201),
    ],
)
def test_coordinates_that_name_no_package_are_refused(
    core_worker: ModuleType, ecosystem: str, name: str, version: str
) -> None:
    with pytest.raises(ValueError, match=r"unknown ecosystem|not the name of a package|not a version"):
        core_worker.package_url(ecosystem, name, version)
