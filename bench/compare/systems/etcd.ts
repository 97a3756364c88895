/** Three etcd servers, built from their module. They sync before they answer. */
import { join } from 'node:path'
import { GO, goProgram, OUTPUT } from '../build.ts'
import { somePorts } from '../ports.ts'
import { ServerProcesses } from './processes.ts'
import type { System } from './system.ts'

const MODULE = 'go.etcd.io/etcd/server/v3'
/** More than a load writes; by default it refuses writes beyond 2 GiB. */
const QUOTA_BYTES = 8 * 1024 ** 3

export const ETCD: System = {
  name: 'etcd',
  version: 'etcd 3.7.3',
  protocol: 'etcd',
  needs: GO,
  warmupSeconds: 3,
  build: () => goProgram('etcd', MODULE, 'etcd-server'),
  async start() {
    const ports = await somePorts(6)
    const [clientUrls, peerUrls] = [ports.slice(0, 3), ports.slice(3)].map((some) =>
      some.map((port) => `http://127.0.0.1:${port}`),
    ) as [string[], string[]]
    const group = new ServerProcesses(clientUrls.join(','))
    for (const [i, url] of clientUrls.entries()) {
      const directory = group.directory(`n${i}`)
      const settings: Readonly<Record<string, string | number>> = {
        name: `n${i}`,
        'data-dir': join(directory, 'store'),
        'listen-client-urls': url,
        'advertise-client-urls': url,
        'listen-peer-urls': peerUrls[i] as string,
        'initial-advertise-peer-urls': peerUrls[i] as string,
        'initial-cluster': peerUrls.map((peer, k) => `n${k}=${peer}`).join(','),
        'initial-cluster-state': 'new',
        'quota-backend-bytes': QUOTA_BYTES,
        'log-level': 'error',
      }
      const args = Object.entries(settings).map(([key, value]) => `--${key}=${value}`)
      group.start(`n${i}`, ports[i] as number, { command: join(OUTPUT, 'etcd-server'), args, cwd: directory })
    }
    return group
  },
}
