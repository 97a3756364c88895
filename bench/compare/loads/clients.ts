/** The clients that loads are made with: what each needs, and how its program is built and started. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { GO, JAVA, javaProgram, type Needed, OUTPUT } from '../build.ts'
import type { Launch } from '../children.ts'
import type { Protocol } from '../systems/system.ts'

export interface LoadClient {
  readonly name: string
  readonly protocol: Protocol
  readonly needs: readonly Needed[]
  build(): Promise<void>
  /** @param home where its libraries may write. */
  launch(home: string): Launch
}

function java(): LoadClient {
  let classPath = ''
  return {
    name: 'java',
    protocol: 'rocketmq',
    needs: JAVA,
    async build() {
      classPath = await javaProgram('load')
    },
    launch: (home) => ({
      command: 'java',
      args: ['-Xms256m', '-Xmx768m', '-XX:+UseSerialGC', `-Duser.home=${home}`, '-cp', classPath, 'compare.Load'],
      cwd: home,
    }),
  }
}

export const JAVA_CLIENT: LoadClient = java()

export const OUR_CLIENT: LoadClient = {
  name: 'ours',
  protocol: 'rocketmq',
  needs: [],
  async build() {},
  launch: (home) => ({
    command: process.execPath,
    args: [fileURLToPath(new URL('./our-load.js', import.meta.url))],
    cwd: home,
  }),
}

/** A load is built beside its server. */
function go(protocol: Protocol): LoadClient {
  return {
    name: 'go',
    protocol,
    needs: GO,
    async build() {},
    launch: (home) => ({ command: join(OUTPUT, `${protocol}-load`), args: [], cwd: home }),
  }
}

export const NATS_CLIENT: LoadClient = go('nats')
export const ETCD_CLIENT: LoadClient = go('etcd')
