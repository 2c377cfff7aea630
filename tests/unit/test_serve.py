"""How the server takes its port."""

import socket

import pytest
from fastapi import FastAPI

from dinoserve.cli.serve import bound_socket, server_config
from dinoserve.errors import StartUpError
from dinoserve.settings import Settings


def settings(port: int) -> Settings:
    return Settings.model_validate({"port": port})


def test_answers_are_not_held_back_to_fill_a_packet() -> None:
    # asyncio sets TCP_NODELAY only on sockets that say that they are TCP.
    with bound_socket(settings(0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_port_in_use_is_told_before_the_model_is_loaded() -> None:
    with bound_socket(settings(0)) as listener:
        listener.listen()
        port = listener.getsockname()[1]

        with pytest.raises(StartUpError, match="--port"), bound_socket(settings(port)):
            pass


def test_an_idle_connection_outlives_the_patience_of_proxies() -> None:
    nginx_idle_s = 60  # keepalive_timeout of an upstream, by default

    assert server_config(FastAPI()).timeout_keep_alive > nginx_idle_s
