module slipway/tests/bed/echo

go 1.24.0
