/** The clients that loads are made with: what each needs, and how its program is built and started. */
import { fileURLToPath } from 'node:url'
import { JAVA, javaProgram, type Needed } from '../build.ts'
import type { Launch } from '../children.ts'
import type { Protocol } from '../systems/system.ts'

export interface LoadClient {
  readonly name: string
  readonly title: string
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
    title: 'Java client',
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
  title: 'our client',
  protocol: 'rocketmq',
  needs: [],
  async build() {},
  launch: (home) => ({
    command: process.execPath,
    args: [fileURLToPath(new URL('./our-load.js', import.meta.url))],
    cwd: home,
  }),
}
