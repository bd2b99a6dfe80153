module copyhold.dev/sdk

go 1.24.0
