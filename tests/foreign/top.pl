#!/usr/bin/perl
# The five largest processes. Written from protocol/PROTOCOL.md alone: perl top.pl SOCKET [TEXT]
use strict; use warnings; use IO::Socket::UNIX;
binmode STDOUT, ':encoding(UTF-8)';

my $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "$ARGV[0]: $!\n";
my @length = (['C', 1], ['n', 2], ['N', 4]);
my @number = (['f>', 4], ['d>', 8], @length, ['Q>', 8], ['c', 1], ['s>', 2], ['l>', 4], ['q>', 8]);

sub text { pack 'Cn/a*', 0xda, shift }
sub take { my $n = shift; $n == (read $socket, my $bytes, $n) or die "the daemon hung up\n"; $bytes }
sub number { my ($form, $size) = @{+shift}; unpack $form, take $size }
sub list { my $n = shift; [map { value() } 1 .. $n] }
sub value {
    my $type = number ['C', 1];
    return $type if $type < 0x80;
    return {@{list(2 * ($type & 15))}} if $type < 0x90;
    return list($type & 15) if $type < 0xa0;
    return take($type & 31) if $type < 0xc0;
    return {0xc0 => undef, 0xc2 => 0, 0xc3 => 1}->{$type} if $type < 0xc4;
    return take number $length[$type - 0xc4] if $type < 0xca;
    return number $number[$type - 0xca] if $type < 0xd9;
    return take number $length[$type - 0xd9] if $type < 0xdc;
    return list(number $length[$type - 0xdb]) if $type < 0xde;
    return {@{list(2 * number $length[$type - 0xdd])}} if $type < 0xe0;
    return $type - 256;
}

print $socket "\x94\x00\x07", text('top'), "\x91\x84", text('sort'), text('rss_bytes'), text('limit'), "\x05", text('filter'),
    text($ARGV[1] // ''), text('columns'), "\x93", text('comm'), text('rss_bytes'), text('cpu_percent');
$socket->flush;
my (undef, undef, $error, $result) = @{value()};
die "$error\n" if defined $error;
my ($columns, $rows) = @{$result->{sections}{processes}}{qw(columns rows)};
for my $row (@$rows) {
    my %cell; @cell{@$columns} = @$row;
    utf8::decode($cell{comm}); $cell{comm} =~ s/[^[:print:]]/?/g;
    my $cpu = defined $cell{cpu_percent} ? sprintf '%.1f', $cell{cpu_percent} : '-';
    printf "%7d %8.1f MiB %5s %%  %s\n", $cell{pid}, ($cell{rss_bytes} // 0) / 2**20, $cpu, $cell{comm};
}
