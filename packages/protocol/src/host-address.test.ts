/** Addresses as records store them. */
import { describe, expect, it } from 'vitest'
import { ProtocolError } from './errors.ts'
import { formatHostAddress, hostAddress, isIpv6, parseHostAddress } from './host-address.ts'

describe('an IP literal', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1:5'],
    ['::ffff:10.0.0.1', '10.0.0.1:5'],
    ['::ffff:a00:1', '10.0.0.1:5'],
    ['::1', '0:0:0:0:0:0:0:1:5'],
    ['::', '0:0:0:0:0:0:0:0:5'],
    ['2001:db8::2', '2001:db8:0:0:0:0:0:2:5'],
    ['2001:db8:0:0:0:0:0:2', '2001:db8:0:0:0:0:0:2:5'],
    ['fe80::1%eth0', 'fe80:0:0:0:0:0:0:1:5'],
    ['64:ff9b::1.2.3.4', '64:ff9b:0:0:0:0:102:304:5'],
  ])('%s is %s', (ip, text) => {
    expect(formatHostAddress(hostAddress(ip, 5))).toBe(text)
  })
  it.each([
    '',
    'localhost',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '1.2.3.x',
    ':',
    ':::',
    '1::2::3',
    '12345::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
  ])('%j is none', (ip) => {
    expect(() => hostAddress(ip, 5)).toThrow(ProtocolError)
  })
})

it.each(['10.0.0.1:40000', '2001:db8:0:0:0:0:0:1:40000'])('reads %s back', (text) => {
  expect(formatHostAddress(parseHostAddress(text))).toBe(text)
})
it('reads brackets', () => {
  expect(isIpv6(parseHostAddress('[::1]:80'))).toBe(true)
})
it.each(['10.0.0.1', '10.0.0.1:', '10.0.0.1:70000', ':80', 'name:80'])('%j is no address and port', (text) => {
  expect(() => parseHostAddress(text)).toThrow(ProtocolError)
})
