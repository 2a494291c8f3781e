"""Settings, read from the environment as ``CELERIAC_…`` on request, never at import."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from celeriac.workflows.engine.retry import Retry
from celeriac.workflows.errors import ConfigurationError


class Settings(BaseSettings):
    """Settings of a process; each field is an environment variable ``CELERIAC_…``.

    Addresses carry passwords, so they are secrets: they show as ``**********`` in a
    repr or a log.
    """

    model_config = SettingsConfigDict(env_prefix="CELERIAC_", frozen=True, extra="forbid")

    # postgresql://…; without this, `celeriac dev` and `run` start servers of their own
    database_url: SecretStr | None = None
    broker_url: SecretStr | None = None  # redis://… or another broker that Celery knows
    imports: Annotated[tuple[str, ...], NoDecode] = ()  # modules with workflows, comma-separated
    queue: str = "celery"  # of steps without a queue of their own, as in a Celery app
    data_dir: Path = Path(".celeriac")  # of the embedded servers

    lease_seconds: float = Field(default=6.0, ge=1)  # a process silent for so long loses its steps
    reconcile_seconds: float = Field(default=0.5, gt=0)  # pause between passes of the reconciler
    max_lost_attempts: int = Field(default=3, ge=1)  # lost attempts after which a step fails

    # For steps and workflows without a retry policy or a timeout of their own:
    retry_max_attempts: int = Field(default=3, ge=1)  # lost attempts do not count
    retry_delay_seconds: float = Field(default=1.0, ge=0)  # before the second attempt; then doubled
    retry_max_delay_seconds: float = Field(default=300.0, ge=0)
    step_timeout_seconds: float = Field(default=300.0, gt=0)  # of an attempt
    run_timeout_seconds: float = Field(default=86_400.0, gt=0)

    # How long a process continues inline before the next step goes through the broker;
    # 0: never
    inline_seconds: float = Field(default=1.0, ge=0)
    prepare_statements: bool = True  # turn off behind a PgBouncer older than 1.21

    @field_validator("imports", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @classmethod
    def from_env(cls, **overrides: Any) -> Settings:
        """Read the environment; ``overrides`` win.

        Raises:
            ConfigurationError: a variable has an invalid value; the message names it.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            problems = "; ".join(
                f"CELERIAC_{'_'.join(str(part) for part in e['loc']).upper()}: {e['msg']}" for e in error.errors()
            )
            raise ConfigurationError(detail=f"Settings are not valid: {problems}") from None

    @property
    def retry(self) -> Retry:
        """The policy of steps without a policy of their own."""
        return Retry(
            max_attempts=self.retry_max_attempts,
            delay=self.retry_delay_seconds,
            max_delay=self.retry_max_delay_seconds,
        )

    @property
    def lease(self) -> timedelta:
        """The time for which a lease lasts after its last renewal."""
        return timedelta(seconds=self.lease_seconds)

    def require_database_url(self) -> str:
        """Return the database's address.

        Raises:
            ConfigurationError: there is none.
        """
        if self.database_url is None:
            raise ConfigurationError(
                detail="No database. Set CELERIAC_DATABASE_URL to postgresql://user:password@host/name, "
                "or use `celeriac dev`, which brings its own."
            )
        return self.database_url.get_secret_value()

    def require_broker_url(self) -> str:
        """Return the broker's address.

        Raises:
            ConfigurationError: there is none.
        """
        if self.broker_url is None:
            raise ConfigurationError(
                detail="No broker. Set CELERIAC_BROKER_URL to redis://host:6379/0, "
                "or use `celeriac dev`, which brings its own."
            )
        return self.broker_url.get_secret_value()
