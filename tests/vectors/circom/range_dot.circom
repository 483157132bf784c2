pragma circom 2.0.0;

// A dot product of private 8-bit weights with public features, and its sum in range:
//     y = sum_i w_i x_i,  0 <= w_i < 2^8,  y < 2^32

template Bits(n) {
    signal input value;
    signal bit[n];
    var sum = 0;
    for (var i = 0; i < n; i++) {
        bit[i] <-- (value >> i) & 1;
        bit[i] * (bit[i] - 1) === 0;
        sum += bit[i] * (1 << i);
    }
    sum === value;
}

template RangeDot(n) {
    signal input x[n];
    signal input w[n];
    signal output y;
    signal product[n];
    component narrow[n];
    var sum = 0;
    for (var i = 0; i < n; i++) {
        narrow[i] = Bits(8);
        narrow[i].value <== w[i];
        product[i] <== w[i] * x[i];
        sum += product[i];
    }
    y <== sum;
    component wide = Bits(32);
    wide.value <== y;
}

component main {public [x]} = RangeDot(4);
