/**
 * The clients under test: what each needs on this machine, how its program is built, and what it can do. Everything that
 * is downloaded or compiled goes to `.interop/` in the checkout, which git ignores; ali-ons is installed in its folder.
 */
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { REPOSITORY } from '../processes/group/fast-try.ts'
import { run } from '../processes/group/run.ts'
import { AUTHORITY, CLIENT } from '../processes/group/tls.ts'
import type { Launch } from './child-program.ts'

export interface Client {
  name: string
  /** Commands that must be there, with the arguments that make each print its version. */
  needs: readonly { command: string; args: readonly string[] }[]
  /** Ways of sending that it knows. */
  modes: readonly string[]
  /** Ways of sending that go on through the failover. */
  flows: readonly string[]
  /** Its own scenarios run before and after a failover, or again with one in the middle of each; or there are none. */
  scenarios: 'after' | 'through' | 'none'
  build(): Promise<void>
  /** Whether it speaks TLS, to a group that hears nothing else. */
  tls?: boolean
  launch(namesrv: string, topic: string, group: string, home: string): Launch
}

const SOURCES = join(REPOSITORY, 'test', 'interop')
const OUTPUT = join(REPOSITORY, '.interop')
const BUILD_TIMEOUT_MS = 300_000

/** npm passes its settings on to children; they would bind an inner npm to the outer project. */
const CLEAN_ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')))

async function build(
  command: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = {},
): Promise<void> {
  const done = await run(command, args, { cwd, env: { ...CLEAN_ENV, ...env }, timeoutMs: BUILD_TIMEOUT_MS })
  if (done.status !== 0) throw new Error(`${command} ${args[0]} failed in ${cwd}\n${done.stdout}${done.stderr}`)
}

function isNewer(source: string, built: string): boolean {
  return !existsSync(built) || statSync(source).mtimeMs > statSync(built).mtimeMs
}

/** What a program of a version is started with, besides what all are. */
interface JavaSetting {
  readonly jars?: 'client' | 'mqadmin'
  readonly properties?: readonly string[]
}

function java(version: string, program = 'Main', { jars = 'client', properties = [] }: JavaSetting = {}): Client {
  const sources = [
    join(SOURCES, 'java', 'src', 'interop'),
    join(SOURCES, 'java', `client-${version}`, 'src', 'interop'),
  ]
  const pom = join(SOURCES, 'java', `${jars}-${version}`, 'pom.xml')
  let classPath = ''
  return {
    name: `java-${version}`,
    needs: JAVA_COMMANDS,
    modes: ['sync', 'async', 'oneway', 'batch'],
    flows: ['sync', 'async', 'batch'],
    scenarios: 'through',
    async build() {
      classPath = await builtJava(`${jars === 'client' ? 'java' : jars}-${version}`, pom, sources)
    },
    launch(namesrv, topic, group, home) {
      // Bodies of 4 MiB, sent while the leader dies beside all other scenarios, did not fit in 256 MiB.
      const memory = ['-Xms64m', '-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
      // The client keeps logs and broadcast offsets under the home of its user.
      const place = [`-Duser.home=${home}`, ...properties, '-cp', classPath]
      return {
        command: 'java',
        args: [...memory, ...place, `interop.${program}`, namesrv, topic, group],
        cwd: home,
        env: CLEAN_ENV,
      }
    },
  }
}

const JAVA_COMMANDS = [
  { command: 'java', args: ['-version'] },
  { command: 'javac', args: ['-version'] },
  { command: 'mvn', args: ['-version'] },
]

/** By name: suites that run side by side may be of the same program. */
const javaBuilds = new Map<string, Promise<string>>()

/** Copies the jars that a pom names and compiles sources against them, once. @returns the class path. */
function builtJava(name: string, pom: string, sources: readonly string[]): Promise<string> {
  let building = javaBuilds.get(name)
  if (building === undefined) {
    building = buildJava(name, pom, sources)
    javaBuilds.set(name, building)
  }
  return building
}

async function buildJava(name: string, pom: string, sources: readonly string[]): Promise<string> {
  const output = join(OUTPUT, name)
  const jars = join(output, 'lib')
  const classes = join(output, 'classes')
  mkdirSync(classes, { recursive: true })
  if (isNewer(pom, jars)) {
    await build('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${jars}`], output)
  }
  const files = sources.flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
  await build('javac', ['-nowarn', '-Xlint:-options', '-d', classes, '-cp', join(jars, '*'), ...files], output)
  return `${classes}:${join(jars, '*')}`
}

/** Apache's DLedger as a reader of log files. */
export interface FileReader {
  readonly name: string
  readonly needs: Client['needs']
  build(): Promise<void>
  /** @returns the lines that its program printed of `<base>/dledger-<id>`. */
  read(base: string, id: string, fileBytes: number, indexFileBytes: number): Promise<string[]>
}

function dledger(version: string): FileReader {
  const name = `dledger-${version}`
  const folder = join(SOURCES, 'java', name)
  let classPath = ''
  return {
    name,
    needs: JAVA_COMMANDS,
    async build() {
      classPath = await builtJava(name, join(folder, 'pom.xml'), [join(folder, 'src', 'interop')])
    },
    async read(base, id, fileBytes, indexFileBytes) {
      const home = `-Duser.home=${base}`
      const args = [home, '-cp', classPath, 'interop.ReadStore', base, id, `${fileBytes}`, `${indexFileBytes}`]
      const done = await run('java', args, { cwd: base, env: CLEAN_ENV, timeoutMs: BUILD_TIMEOUT_MS })
      if (done.status !== 0) throw new Error(`the reader failed\n${done.stdout}${done.stderr}`)
      return done.stdout.split('\n').filter((line) => /^(range|entry) /.test(line))
    },
  }
}

export const DLEDGER_READER: FileReader = dledger('0.3.2')

/** Apache's store classes, its broker with a name server, and a client that asks for what is stored. */
export interface StorePeer {
  readonly name: string
  readonly needs: Client['needs']
  build(): Promise<void>
  /** Runs a program of ours to its end. @returns its lines. */
  run(program: string, args: readonly (string | number)[], home: string): Promise<string[]>
  /** How to start one that goes on. */
  launch(program: string, args: readonly (string | number)[], home: string): Launch
}

function storePeer(name: string): StorePeer {
  const folder = join(SOURCES, 'java', name)
  let classPath = ''
  const launch = (program: string, args: readonly (string | number)[], home: string): Launch => ({
    command: 'java',
    args: [
      '-Xms64m',
      '-Xmx512m',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      ...['java.nio', 'sun.nio.ch', 'jdk.internal.ref'].map((part) => `--add-opens=java.base/${part}=ALL-UNNAMED`),
      ...['sun.nio.ch', 'jdk.internal.ref'].map((part) => `--add-exports=java.base/${part}=ALL-UNNAMED`),
      // Else each server makes a key of its own, which takes it seconds.
      '-Dtls.server.mode=disabled',
      `-Duser.home=${home}`,
      '-cp',
      classPath,
      `interop.${program}`,
      ...args.map(String),
    ],
    cwd: home,
    env: { ...CLEAN_ENV, ROCKETMQ_HOME: home },
  })
  return {
    name,
    needs: JAVA_COMMANDS,
    async build() {
      classPath = await builtJava(name, join(folder, 'pom.xml'), [join(folder, 'src', 'interop')])
    },
    async run(program, args, home) {
      const { command, args: all, cwd, env } = launch(program, args, home)
      const done = await run(command, all, { cwd, env, timeoutMs: BUILD_TIMEOUT_MS })
      if (done.status !== 0)
        throw new Error(`${program} failed\n${done.stdout.slice(-4_000)}${done.stderr.slice(-4_000)}`)
      return done.stdout.split('\n')
    },
    launch,
  }
}

export const STORE_PEER: StorePeer = storePeer('store-5.5.0')
/** Apache's filter module. */
export const FILTER_PEER: StorePeer = storePeer('filter-5.5.0')

const go: Client = {
  name: 'go-2.1.2',
  needs: [{ command: 'go', args: ['version'] }],
  modes: ['sync', 'async', 'oneway', 'batch'],
  // Its asynchronous send dereferences a missing answer when the connection is refused.
  flows: ['sync'],
  scenarios: 'after',
  async build() {
    mkdirSync(OUTPUT, { recursive: true })
    const target = join(OUTPUT, 'go-client')
    await build('go', ['build', '-buildvcs=false', '-mod=readonly', '-o', target, '.'], join(SOURCES, 'go'))
  },
  launch(namesrv, topic, group, home) {
    const env = { ...CLEAN_ENV, HOME: home, ROCKETMQ_GO_LOG_LEVEL: 'warn' }
    return { command: join(OUTPUT, 'go-client'), args: [namesrv, topic, group], cwd: home, env }
  },
}

const aliOns: Client = {
  name: 'ali-ons-3.12.0',
  needs: [],
  modes: ['sync'],
  flows: ['sync'],
  scenarios: 'none',
  async build() {
    const folder = join(SOURCES, 'js')
    if (isNewer(join(folder, 'package-lock.json'), join(folder, 'node_modules', '.package-lock.json'))) {
      await build('npm', ['ci', '--loglevel=error'], folder)
    }
  },
  launch(namesrv, topic, group, home) {
    const program = join(SOURCES, 'js', 'client.mjs')
    return {
      command: process.execPath,
      args: [program, namesrv, topic, group],
      cwd: home,
      env: { ...CLEAN_ENV, HOME: home },
    }
  },
}

/** It checks the certificates of the group, too, and shows one. */
const TLS_PROPERTIES = [
  'tls.enable=true',
  'tls.test.mode.enable=false',
  'tls.client.authServer=true',
  `tls.client.trustCertPath=${AUTHORITY}`,
  `tls.client.certPath=${CLIENT.cert}`,
  `tls.client.keyPath=${CLIENT.key}`,
].map((property) => `-D${property}`)

function overTls(version: string): Client {
  return {
    ...java(version, 'Main', { properties: TLS_PROPERTIES }),
    name: `tls-${version}`,
    tls: true,
    // What the scenarios show does not depend on how the bytes travel.
    scenarios: 'none',
  }
}

export const CLIENTS: readonly Client[] = [java('5.5.0'), java('4.9.8'), go, aliOns, overTls('5.5.0'), overTls('4.9.8')]

/** A program of its own with the same jars. */
export const RETENTION_CLIENT: Client = { ...java('5.5.0', 'Retention'), name: 'retention-5.5.0' }

export const ACL_CLIENT: Client = { ...java('5.5.0', 'Acl'), name: 'acl-5.5.0' }

/** Of a master and slaves by configuration. */
export const CLASSIC_CLIENTS: readonly Client[] = ['5.5.0', '4.9.8'].map((version) => ({
  ...java(version, 'Classic'),
  name: `classic-${version}`,
}))

/** Apache's mqadmin, in the tools' jar that goes with each client. */
export const MQADMINS: readonly Client[] = [
  { ...java('5.5.0', 'Mqadmin'), name: 'mqadmin-5.5.0' },
  { ...java('4.9.8', 'Mqadmin', { jars: 'mqadmin' }), name: 'mqadmin-4.9.8' },
]

/** The same, for commands that change something. */
export const CHANGING_MQADMINS: readonly Client[] = MQADMINS.map((client) => ({
  ...client,
  name: client.name.replace('mqadmin-', 'mqadmin-changing-'),
}))

/** The first command that this client needs and that is not there. */
export async function missingCommand(client: Pick<Client, 'needs'>): Promise<string | undefined> {
  for (const { command, args } of client.needs) {
    try {
      const done = await run(command, args, { env: CLEAN_ENV, timeoutMs: BUILD_TIMEOUT_MS })
      if (done.status !== 0) return command
    } catch {
      // Not found, or not to be executed: either way it is missing.
      return command
    }
  }
  return undefined
}
