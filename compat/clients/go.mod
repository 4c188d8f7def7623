module balsa.example/compat/clients

go 1.26.0
