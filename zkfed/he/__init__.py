"""Encrypted sums: one key an attempt, one ciphertext a client, one decryption a key.

    params      the two parameter sets, and when a sum under them is exact
    framing     the one encoding of a ciphertext and of a public key
    loading     the only module that calls TenSEAL
    keys        `PublicKey` for everybody, `SecretKey` for the key holder
    ciphertext  bytes that were checked
    encrypt     integers to a `Ciphertext`
    aggregate   many ciphertexts to their sum
    worker      the process in which ciphertexts from outside meet the library
    sealing     HPKE around a ciphertext, so that only the adders see it

A ciphertext is not authenticated: it may hold other integers than the sender proved, or be under
another key. The opening equation of the round finds that, not this package.
"""
