"""Settings: four sources in order of rank, and nothing misspelt passes unnoticed."""

from __future__ import annotations

import pytest

from domain.errors import ConfigurationError
from service.settings import EncoderSettings, Settings, load_settings


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """A working directory without a fovea.toml of the developer's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nothing_needs_to_be_configured(tmp_path):
    settings = load_settings()
    assert str(settings.data_dir) == ".fovea"
    assert settings.database_url == "sqlite:///.fovea/fovea.db"
    assert settings.models_dir == settings.data_dir / "models"
    assert settings.generation.generator == "extractive"


def test_arguments_outrank_the_environment_which_outranks_the_file(tmp_path, monkeypatch):
    (tmp_path / "fovea.toml").write_text(
        'data_dir = "from-file"\n[server]\nport = 1111\n[context]\nmax_tokens = 111\n[encoder]\nmodel = "file"\n'
    )
    monkeypatch.setenv("FOVEA_CONTEXT__MAX_TOKENS", "222")
    monkeypatch.setenv("FOVEA_ENCODER__MODEL", "environment")
    settings = load_settings(encoder=EncoderSettings(model="argument"))
    assert (str(settings.data_dir), settings.server.port) == ("from-file", 1111)
    assert settings.context.max_tokens == 222
    assert settings.encoder.model == "argument"


def test_a_section_of_the_file_keeps_what_the_environment_does_not_name(tmp_path, monkeypatch):
    (tmp_path / "fovea.toml").write_text('[generation]\nmodel = "m"\nbase_url = "http://127.0.0.1:1/v1"\n')
    monkeypatch.setenv("FOVEA_GENERATION__MODEL", "other")
    settings = load_settings()
    assert (settings.generation.model, settings.generation.base_url) == ("other", "http://127.0.0.1:1/v1")


def test_the_file_may_stand_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "elsewhere.toml").write_text("[server]\nport = 1234\n")
    monkeypatch.setenv("FOVEA_CONFIG", str(tmp_path / "elsewhere.toml"))
    assert load_settings().server.port == 1234


def test_a_file_that_is_named_and_not_there_is_an_error(monkeypatch):
    monkeypatch.setenv("FOVEA_CONFIG", "missing.toml")
    with pytest.raises(ConfigurationError, match=r"missing\.toml"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[encoder]\nmodle = 'x'\n", "encoder.modle"),
        ("[encodr]\nmodel = 'x'\n", "encodr"),
        ("[server]\nport = 70000\n", "server.port"),
        ("[retrieval]\ndense_k = 'many'\n", "retrieval.dense_k"),
        ("[server\n", "cannot be read"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path, text, named):
    (tmp_path / "fovea.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=named):
        load_settings()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[server]\nport = 70000",
            "The setting server.port is 70000 (from fovea.toml); it takes a whole number from 0 to 65535.",
        ),
        (
            "[encoder]\nbackend = 'tf'",
            "The setting encoder.backend is 'tf' (from fovea.toml); it takes auto, openvino, torch or openai.",
        ),
        (
            "[generation]\ntotal_seconds = -1",
            "The setting generation.total_seconds is -1 (from fovea.toml); it takes a number above 0.",
        ),
        (
            "[generation]\nfallback = 'maybe'",
            "The setting generation.fallback is 'maybe' (from fovea.toml); it takes true or false.",
        ),
        (
            "[encoder]\nmodle = 'x'",
            "There is no setting encoder.modle (from fovea.toml); did you mean encoder.model?",
        ),
        ("[a]\nb = 1", "There is no setting a (from fovea.toml); docs/configuration.md lists all settings."),
        (
            "conversation = 3",
            "The setting conversation is of the wrong kind (from fovea.toml); it takes a table of settings: rewrite, "
            "rewrite_seconds.",
        ),
    ],
)
def test_an_error_says_which_value_came_from_where_and_what_is_taken(tmp_path, text, sentence):
    (tmp_path / "fovea.toml").write_text(text)
    with pytest.raises(ConfigurationError) as error:
        load_settings()
    assert str(error.value) == sentence


def test_an_error_names_the_source_that_is_first_in_rank(tmp_path, monkeypatch):
    (tmp_path / "fovea.toml").write_text("[server]\nport = 'file'\nmax_body_bytes = 1\n")
    monkeypatch.setenv("FOVEA_SERVER", '{"port": "section"}')
    with pytest.raises(ConfigurationError) as error:
        load_settings()
    assert "server.port is 'section' (from FOVEA_SERVER);" in str(error.value)
    assert "server.max_body_bytes is 1 (from fovea.toml); it takes a whole number of 1024 or more" in str(error.value)
    monkeypatch.setenv("fovea_server__port", "variable")
    with pytest.raises(ConfigurationError, match=r"server\.port is 'variable' \(from fovea_server__port\);"):
        load_settings()
    with pytest.raises(ConfigurationError, match=r"server is of the wrong kind \(from an argument\);"):
        load_settings(server="argument")


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("FOVEA_GENERATION", "sk-secret", "a table of settings: generator, .*such as FOVEA_GENERATION__GENERATOR"),
        ("FOVEA_GENERATION", '["sk-secret"]', "a table of settings"),
        ("FOVEA_INGESTION__LOADERS", "module:sk-secret", r"a list of texts, such as \[.package.module:attribute.\]"),
    ],
)
def test_a_variable_that_takes_json_says_so(monkeypatch, variable, value, named):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"The variable {variable} takes JSON, {named}") as error:
        load_settings()
    assert "sk-secret" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["[generation]\napi_key = ['sk-secret']", "generation = 'sk-secret'", "[generation]\napi_kye = 'sk-secret'"]
)
def test_a_value_that_may_be_a_secret_is_not_repeated(tmp_path, text):
    (tmp_path / "fovea.toml").write_text(text)
    with pytest.raises(ConfigurationError, match="generation") as error:
        load_settings()
    assert "sk-secret" not in str(error.value)


@pytest.mark.parametrize("content", [b"[server", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_named(tmp_path, monkeypatch, content):
    (tmp_path / "mine.toml").write_bytes(content)
    monkeypatch.setenv("FOVEA_CONFIG", str(tmp_path / "mine.toml"))
    with pytest.raises(ConfigurationError, match=r"mine\.toml cannot be read as TOML"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("FOVEA_GENERATON__BASE_URL", "FOVEA_GENERATION__BASE_URL"),
        ("FOVEA_GENERATION__BASE_ULR", "FOVEA_GENERATION__BASE_URL"),
        ("FOVEA_ENCODER_MODEL", "FOVEA_ENCODER__MODEL"),
        ("FOVEA_DATADIR", "FOVEA_DATA_DIR"),
        ("fovea_server__prot", "FOVEA_SERVER__PORT"),
    ],
)
def test_a_misspelt_variable_is_refused_and_the_right_name_given(monkeypatch, variable, meant):
    monkeypatch.setenv(variable, "x")
    with pytest.raises(ConfigurationError, match=f"There is no setting {variable}; did you mean {meant}?"):
        load_settings()


def test_a_variable_like_no_other_points_to_the_list(monkeypatch):
    monkeypatch.setenv("FOVEA_X__Y", "x")
    with pytest.raises(ConfigurationError, match=r"FOVEA_X__Y; docs/configuration\.md lists"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FOVEA_PORT", "tcp://10.3.2.1:8000"),
        ("FOVEA_SERVICE_HOST", "10.3.2.1"),
        ("FOVEA_PORT_8000_TCP_ADDR", "10.3.2.1"),
        ("FOVEA_SERVER_PORT", "tcp://10.3.2.1:8000"),
        ("FOVEAL", "x"),
    ],
)
def test_variables_that_others_set_are_no_mistakes(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    assert load_settings() == Settings()


def test_every_setting_may_be_set_in_the_environment(monkeypatch):
    """The names that `docs/configuration.md` lists are the names that are accepted."""
    for section, field in Settings.model_fields.items():
        members = getattr(field.annotation, "model_fields", {})
        for key in members or [""]:
            monkeypatch.setenv(f"FOVEA_{section}__{key}".upper() if key else f"FOVEA_{section}".upper(), "")
    assert load_settings() == Settings()


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("FOVEA_DATA_DIR", "")
    monkeypatch.setenv("FOVEA_ENCODER__DIM", "")
    monkeypatch.setenv("FOVEA_SERVER__API_KEY", "")
    settings = load_settings()
    assert (str(settings.data_dir), settings.encoder.dim, settings.server.api_key) == (".fovea", None, None)


def test_secrets_do_not_show_when_settings_are_printed(monkeypatch):
    monkeypatch.setenv("FOVEA_SERVER__API_KEY", "sk-secret")
    settings = load_settings()
    assert settings.server.api_key.get_secret_value() == "sk-secret"
    assert "sk-secret" not in f"{settings!r} {settings}"


def test_a_wrong_secret_is_not_repeated_in_the_error(monkeypatch):
    monkeypatch.setenv("FOVEA_GENERATION__API_KEY", "sk-secret")
    monkeypatch.setenv("FOVEA_GENERATION__TOTAL_SECONDS", "0")
    with pytest.raises(ConfigurationError, match=r"generation\.total_seconds") as error:
        load_settings()
    assert "sk-secret" not in str(error.value)
