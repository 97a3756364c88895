/** Three NATS servers with JetStream in files, built from their module; streams have three replicas. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { GO, goProgram, OUTPUT } from '../build.ts'
import { somePorts } from '../ports.ts'
import { ServerProcesses } from './processes.ts'
import type { System } from './system.ts'

const MODULE = 'github.com/nats-io/nats-server/v2'

/** @param syncs whether a server syncs each write before it answers; by default it does so every two minutes. */
function nats(name: string, syncs: boolean): System {
  return {
    name,
    version: 'NATS 2.15.2, R3, file',
    protocol: 'nats',
    needs: GO,
    warmupSeconds: 3,
    build: () => goProgram('nats', MODULE, 'nats-server'),
    async start() {
      const ports = await somePorts(6)
      const [clientPorts, clusterPorts] = [ports.slice(0, 3), ports.slice(3)]
      const group = new ServerProcesses(clientPorts.map((port) => `nats://127.0.0.1:${port}`).join(','))
      const routes = clusterPorts.map((port) => `nats://127.0.0.1:${port}`).join(', ')
      for (const [i, port] of clientPorts.entries()) {
        const directory = group.directory(`n${i}`)
        const conf = join(directory, 'conf')
        // The load finds the leader's port by the server's name.
        writeFileSync(
          conf,
          `server_name: "${port}"
listen: "127.0.0.1:${port}"
jetstream { store_dir: "${join(directory, 'store')}"${syncs ? ', sync_interval: always' : ''} }
cluster { name: compare, listen: "127.0.0.1:${clusterPorts[i]}", routes: [${routes}] }
`,
        )
        group.start(`n${i}`, port, { command: join(OUTPUT, 'nats-server'), args: ['-c', conf], cwd: directory })
      }
      return group
    },
  }
}

export const NATS: System = nats('nats', false)
export const NATS_SYNC: System = nats('nats-sync', true)
