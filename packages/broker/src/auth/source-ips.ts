/**
 * Where requests may come from: addresses and networks, of IPv4 and IPv6.
 *
 * Keeps: an address is compared as what it is, not as how it is written.
 *
 * Source: org.apache.rocketmq.common.utils.IPAddressUtils, which compares single addresses as texts.
 */
import { BlockList, isIP } from 'node:net'

export interface Network {
  readonly address: string
  readonly family: 'ipv4' | 'ipv6'
  readonly prefixBits: number
}

/** @param text an address, or `address/bits`. @returns undefined for what is neither. */
export function parseNetwork(text: string): Network | undefined {
  const [address = '', bits, ...more] = text.split('/')
  const version = isIP(address)
  // What names an interface of this machine (`fe80::1%eth0`) is nowhere else.
  if (version === 0 || more.length > 0 || address.includes('%')) return undefined
  const bitsMax = version === 4 ? 32 : 128
  const prefixBits = bits === undefined ? bitsMax : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN
  if (!(prefixBits <= bitsMax)) return undefined
  return { address, family: version === 4 ? 'ipv4' : 'ipv6', prefixBits }
}

/** Networks, made ready for many questions. */
export class SourceIps {
  readonly #networks = new BlockList()

  /** @param texts that are checked; others match nothing. */
  constructor(texts: readonly string[]) {
    for (const text of texts) {
      const network = parseNetwork(text)
      if (network === undefined) continue
      // A "subnet" of no bits is refused by some versions of Node.
      if (network.prefixBits > 0) this.#networks.addSubnet(network.address, network.prefixBits, network.family)
      else this.#addAll(network.family)
    }
  }

  has(ip: string): boolean {
    const version = isIP(ip)
    return version !== 0 && this.#networks.check(ip, version === 4 ? 'ipv4' : 'ipv6')
  }

  #addAll(family: Network['family']): void {
    if (family === 'ipv4') this.#networks.addRange('0.0.0.0', '255.255.255.255', family)
    else this.#networks.addRange('::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', family)
  }
}
