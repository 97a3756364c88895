/** Addresses and networks, against the arithmetic of their bits. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseNetwork, SourceIps } from './source-ips.ts'

test.each(['10.0.0.1', '10.0.0.0/8', '0.0.0.0/0', '::1', '2001:db8::/32', '::/0', '::ffff:10.0.0.1'])(
  '%s is one',
  (text) => {
    expect(parseNetwork(text)).toBeDefined()
  },
)

test.each([
  '',
  '10.0.0',
  '10.0.0.256',
  'localhost',
  '10.0.0.0/33',
  '10.0.0.0/-1',
  '10.0.0.0/',
  '::/129',
  '1.2.3.4/8/8',
])('%j is none', (text) => {
  expect(parseNetwork(text)).toBeUndefined()
})

test('an address is the same however it is written, and of its own family only', () => {
  const sources = new SourceIps(['2001:db8::1', '10.0.0.1'])
  expect(['2001:db8:0:0:0:0:0:1', '2001:DB8::1', '10.0.0.1'].map((ip) => sources.has(ip))).toEqual([true, true, true])
  expect(['2001:db8::2', '10.0.0.2', 'nonsense', ''].map((ip) => sources.has(ip))).toEqual(Array(4).fill(false))
  expect(new SourceIps(['0.0.0.0/0']).has('::1')).toBe(false)
  expect(new SourceIps(['::/0']).has('2001:db8::1')).toBe(true)
})

test.each([4, 6] as const)('a network of IPv%i has the addresses that begin with its bits', (version) => {
  const bits = version === 4 ? 32 : 128
  const address = fc.bigInt({ min: 0n, max: 2n ** BigInt(bits) - 1n })
  fc.assert(
    fc.property(address, fc.integer({ min: 0, max: bits }), fc.bigInt({ min: 0n, max: 0xffn }), address, (...given) => {
      const [base, prefixBits, near, far] = given
      const sources = new SourceIps([`${ipText(base, version)}/${prefixBits}`])
      for (const other of [base, base ^ near, far]) {
        const shift = BigInt(bits - prefixBits)
        // An IPv6 address that stands for one of IPv4 is of both families.
        if (version === 6 && other >> 32n === 0xffffn) continue
        expect(sources.has(ipText(other, version))).toBe(other >> shift === base >> shift)
      }
    }),
  )
})

function ipText(value: bigint, version: 4 | 6): string {
  const parts: string[] = []
  const [count, width] = version === 4 ? [4, 8n] : [8, 16n]
  for (let i = count - 1; i >= 0; i--) {
    const part = (value >> (BigInt(i) * width)) & ((1n << width) - 1n)
    parts.push(part.toString(version === 4 ? 10 : 16))
  }
  return parts.join(version === 4 ? '.' : ':')
}
