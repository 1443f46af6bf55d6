import pytest

from shop.main import connect, password


def test_the_password_comes_from_its_file(tmp_path):
    file = tmp_path / "db_password"
    file.write_text("correct horse\n")
    assert password(file) == "correct horse"


def test_no_file_is_no_password(tmp_path):
    assert password(tmp_path / "db_password") is None


def test_the_database_is_named_by_the_environment(tmp_path):
    file = tmp_path / "db_password"
    file.write_text("correct horse")
    client = connect(
        {"DATABASE_HOST": "db", "DATABASE_PORT": "7000", "DATABASE_PASSWORD_FILE": str(file)}
    )
    settings = client.connection_pool.connection_kwargs
    assert (settings["host"], settings["port"], settings["password"]) == ("db", 7000, "correct horse")


def test_a_port_is_a_number():
    with pytest.raises(ValueError):
        connect({"DATABASE_PORT": "redis"})
