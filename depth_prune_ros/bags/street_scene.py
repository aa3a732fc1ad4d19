"""Lays out a street: road, pavements, houses, gardens, trees, poles, parked and moving cars."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field

from depth_prune_ros.bags.street_cars import add_car
from depth_prune_ros.bags.street_cars import car_models
from depth_prune_ros.bags.street_cars import CarModel
from depth_prune_ros.bags.street_paint import paint_all
from depth_prune_ros.bags.street_paint import ROOFS
from depth_prune_ros.bags.street_paint import STOREY_M
from depth_prune_ros.bags.street_paint import WALLS
from depth_prune_ros.bags.street_shapes import FLOOR
from depth_prune_ros.bags.street_shapes import Look
from depth_prune_ros.bags.street_shapes import Place
from depth_prune_ros.bags.street_shapes import ROAD
from depth_prune_ros.bags.street_shapes import Scene
from depth_prune_ros.bags.street_shapes import SceneBuilder
from depth_prune_ros.bags.street_textures import AtlasBuilder
from depth_prune_ros.bags.street_textures import Rng
import numpy as np
from numpy.typing import ArrayLike

STOREYS = (2, 2, 2, 3, 3, 4, 4, 5)


@dataclass(frozen=True)
class Road:
    """The road: lanes within +-lane_m, kerbs further out by the parking strips, side streets."""

    lane_m: float
    left_m: float
    right_m: float
    pavement_m: float
    setback_m: float
    junctions: tuple[tuple[float, float], ...]
    centre_dashed: bool
    edge_lines: bool
    length_m: float

    def free(self, low: float, high: float) -> bool:
        """Say whether a stretch of z keeps off the side streets."""
        return all(high < j[0] or low > j[1] for j in self.junctions)

    def kerb(self, side: int) -> float:
        """Return how far the kerb is from the middle, on side -1 (left) or 1."""
        return self.right_m if side > 0 else self.left_m


@dataclass
class Layout:
    """A street being laid out."""

    rng: Rng
    road: Road
    atlas: AtlasBuilder
    widths: dict[str, float]
    cars: list[CarModel]
    scene: SceneBuilder = field(default_factory=SceneBuilder)
    movers: list[Place] = field(default_factory=list)

    def look(self, name: str, tint: ArrayLike, tile: tuple[float, float], kind: int = 0) -> Look:
        """Return a tiled look with a slightly random tint."""
        rgb = np.broadcast_to(np.array(tint, float), 3) * self.rng.uniform(0.93, 1.07)
        return Look(self.atlas[name], (rgb[0], rgb[1], rgb[2]), tile, kind=kind)


def make_road(rng: Rng, length_m: float) -> Road:
    """Draw a road."""
    lane = float(rng.uniform(3.0, 3.9))
    parking = [float(rng.choice([0.25, 2.25])), float(rng.choice([0.25, 2.25]))]
    junctions, z = [], float(rng.uniform(25, 70))
    while z < length_m:
        junctions.append((z, z + float(rng.uniform(6, 9))))
        z += float(rng.uniform(55, 110))
    return Road(
        lane_m=lane,
        left_m=lane + parking[0],
        right_m=lane + parking[1],
        pavement_m=float(rng.uniform(1.8, 3.2)),
        setback_m=float(rng.choice([0.0, 3.0, 5.0, 7.0])),
        junctions=tuple(junctions),
        centre_dashed=bool(rng.random() < 0.75),
        edge_lines=bool(rng.random() < 0.5),
        length_m=length_m,
    )


def _pavements(lay: Layout) -> None:
    """Add kerbs and pavements between the side streets."""
    road = lay.road
    slab = lay.look('pavers', (1.0, 0.98, 0.95), (2.4, 2.4), FLOOR)
    stone = lay.look('plain', 0.72, (1.0, 1.0), FLOOR)
    side = lay.look('plain', 0.55, (1.0, 1.0))
    ends = [-30.0, *(e for j in road.junctions for e in j), road.length_m]
    for low, high in zip(ends[0::2], ends[1::2], strict=True):
        for cut in np.arange(low, high, 40.0):
            stop = min(cut + 40.0, high)
            for hand in (-1, 1):
                middle, long = (cut + stop) / 2, stop - cut
                kerb = road.kerb(hand)
                place = Place(hand * (kerb + 0.075), 0, middle)
                lay.scene.box((0.15, 0.125, long), place, side, stone)
                place = Place(hand * (kerb + 0.15 + road.pavement_m / 2), 0, middle)
                lay.scene.box((road.pavement_m, 0.12, long), place, side, slab)


def _house(lay: Layout, hand: int, z: float, long: float) -> None:
    """Add a house front to the street, with its roof and chimney."""
    rng, road = lay.rng, lay.road
    choices = range(3) if road.setback_m else range(2, 8)
    number = int(rng.choice(list(choices)))
    tall, name = STOREYS[number] * STOREY_M, f'facade{number}'
    deep = float(rng.uniform(8, 12))
    bays = max(round(long / lay.widths[name]), 1)
    wall = lay.look(name, WALLS[rng.integers(len(WALLS))], (long / bays, tall))
    x = hand * (road.kerb(hand) + road.pavement_m + 0.15 + road.setback_m + deep / 2)
    x += hand * float(rng.uniform(0, 0.6)) * (road.setback_m > 0)
    lay.scene.box((deep, tall, long), Place(x, 0, z), wall, lay.look('plain', 0.4, (1, 1)))
    slates = lay.look('roof', ROOFS[rng.integers(len(ROOFS))], (3.0, 3.0))
    gable = lay.look('planks' if rng.random() < 0.4 else 'plain', 0.8, (2.0, 2.0))
    if rng.random() < (0.85 if road.setback_m else 0.5):
        rise, over = float(rng.uniform(2.2, 4.2)), deep / 2 + 0.45
        profile = np.array([[-over, -0.12], [over, -0.12], [over, 0.1], [0, rise], [-over, 0.1]])
        edge = lay.look('plain', 0.35, (1, 1))
        looks = [edge, edge, slates, slates, edge]
        roof = Place(x, tall, z, yaw=np.pi / 2)
        lay.scene.prism(profile, long / 2 + 0.25, roof, gable, looks)
        along = z + long * rng.uniform(-0.3, 0.3)
        chimney = Place(x - hand * deep * 0.2, tall + rise * 0.4, along)
        brick = lay.look('plain', (0.5, 0.32, 0.26), (1, 1))
        lay.scene.box((0.6, rise * 0.85, 0.8), chimney, brick)
    else:
        ledge = lay.look('plain', 0.62, (2.0, 1.0))
        lay.scene.box((deep + 0.5, 0.45, long + 0.1), Place(x, tall, z), ledge)


def _garden(lay: Layout, hand: int, z: float, long: float) -> None:
    """Add what parts a garden from the pavement: hedge, fence, wall or nothing."""
    rng = lay.rng
    x = hand * (lay.road.kerb(hand) + lay.road.pavement_m + 0.45)
    kind, part = rng.integers(4), long * 0.42
    for centre in (z - long / 2 + part / 2, z + long / 2 - part / 2):
        if kind == 0:
            look = lay.look('leaves', (0.40, 0.52, 0.26), (1.1, 1.1))
            size = (0.7, float(rng.uniform(0.9, 1.7)), part)
            lay.scene.box(size, Place(x + hand * 0.2, 0, centre), look)
        elif kind == 1:
            look = lay.look('planks', (0.62, 0.48, 0.36), (2.0, 2.0))
            lay.scene.box((0.06, float(rng.uniform(0.9, 1.5)), part), Place(x, 0, centre), look)
        elif kind == 2:
            look = lay.look('plain', (0.78, 0.74, 0.68), (1.0, 1.0))
            lay.scene.box((0.25, float(rng.uniform(0.5, 1.1)), part), Place(x, 0, centre), look)


def _houses(lay: Layout) -> None:
    """Line both sides with houses, gardens and bushes."""
    rng, road = lay.rng, lay.road
    for hand in (-1, 1):
        z = -20.0
        while z < road.length_m:
            long = float(rng.uniform(9, 17))
            if road.free(z - 1, z + long + 1):
                _house(lay, hand, z + long / 2, long)
                if road.setback_m:
                    _garden(lay, hand, z + long / 2, long + 2)
                    _bushes(lay, hand, z + long / 2, long)
                z += long + (float(rng.uniform(2, 7)) if road.setback_m else 0.02)
            else:
                z += 1.5


def _bushes(lay: Layout, hand: int, z: float, long: float) -> None:
    """Put a few bushes into a garden."""
    rng, road = lay.rng, lay.road
    near = road.kerb(hand) + road.pavement_m + 0.9
    for _ in range(int(rng.integers(0, 6))):
        x, r = hand * (near + rng.uniform(0, road.setback_m - 1.2)), rng.uniform(0.3, 0.9)
        tint = np.array([0.42, 0.54, 0.27]) * rng.uniform(0.75, 1.15) + rng.normal(0, 0.04, 3)
        centre = np.array([x, r * 0.6, z + rng.uniform(-0.5, 0.5) * long])
        lay.scene.blob(centre, r * rng.uniform(0.8, 1.3, 3), lay.look('leaves', tint, (2, 2)))


def tree(lay: Layout, x: float, z: float, height_m: float, leaves: int) -> None:
    """Add a tree: a trunk and a crown of many small bunches of leaves."""
    rng = lay.rng
    green = np.array([0.44, 0.58, 0.24]) * rng.uniform(0.7, 1.1) + rng.normal(0, 0.035, 3)
    lay.scene.pole(
        0.022 * height_m,
        0.6 * height_m,
        Place(x, 0, z),
        lay.look('bark', (0.62, 0.52, 0.42), (0.6, 1.0)),
    )
    half = np.array([0.27, 0.33, 0.27]) * height_m * rng.uniform(0.85, 1.1, 3)
    for _ in range(leaves):
        at = rng.normal(0, 1, 3)
        at *= rng.uniform(0.25, 0.85) / np.linalg.norm(at)
        centre = np.array([x, 0.66 * height_m, z]) + at * half
        radius = height_m * rng.uniform(0.075, 0.145) * (12 / leaves) ** 0.3
        tint = green * (0.82 + 0.22 * at[1] + rng.normal(0, 0.05))
        look = lay.look('leaves', tint, (2, 2))
        lay.scene.blob(centre, radius * rng.uniform(0.85, 1.2, 3), look)


def _trees(lay: Layout) -> None:
    """Plant trees along the street and a wood at its end."""
    rng, road = lay.rng, lay.road
    step = float(rng.uniform(9, 24))
    for hand in (-1, 1):
        for z in np.arange(float(rng.uniform(2, 14)), road.length_m, step):
            if not road.free(z - 2, z + 2) or rng.random() < 0.2:
                continue
            beyond = 1.2 + rng.uniform(0, road.setback_m * 0.6) if road.setback_m else -0.5
            x = hand * (road.kerb(hand) + road.pavement_m + beyond)
            tree(lay, x, z + rng.uniform(-2, 2), rng.uniform(4.5, 11), 20 if z < 90 else 8)
    for hand in (-1, 1):
        for z in np.arange(-10.0, road.length_m + 60, 13.0):
            x, r = hand * rng.uniform(33, 60), rng.uniform(3.5, 7)
            look = lay.look('leaves', np.array([0.40, 0.50, 0.26]) * rng.uniform(0.8, 1.1), (5, 5))
            lay.scene.blob(np.array([x, r * 0.5, z]), r * rng.uniform(0.8, 1.4, 3), look)
    for _ in range(26):
        x, r = rng.uniform(-170, 170), rng.uniform(7, 15)
        z = road.length_m + rng.uniform(15, 90)
        look = lay.look('leaves', (0.36, 0.46, 0.24), (9, 9))
        lay.scene.blob(np.array([x, r * 0.4, z]), r * rng.uniform(0.8, 1.3, 3), look)


def _posts(lay: Layout) -> None:
    """Add street lamps, traffic signs and bins at the kerb."""
    rng, road = lay.rng, lay.road
    hand, metal = int(rng.choice([-1, 1])), lay.look('plain', (0.50, 0.53, 0.53), (0.5, 0.5))
    for z in np.arange(rng.uniform(8, 20), road.length_m, 27.0):
        x, tall = hand * (road.kerb(hand) + 0.5), 6.5
        lay.scene.pole(0.075, tall, Place(x, 0, z), metal)
        lay.scene.box((1.8, 0.09, 0.09), Place(x - hand * 0.85, tall - 0.1, z), metal)
        lay.scene.box((0.7, 0.14, 0.26), Place(x - hand * 1.7, tall - 0.16, z), metal)
    angle = np.arange(16) * (np.pi / 8)
    ring = 0.32 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    square = np.array([[-0.3, -0.3], [0.3, -0.3], [0.3, 0.3], [-0.3, 0.3]])
    for z in np.arange(rng.uniform(10, 22), road.length_m, 19.0):
        hand, kind = int(rng.choice([-1, 1])), int(rng.integers(4))
        place = Place(hand * (road.kerb(hand) + 0.45), 0, z + rng.uniform(-4, 4))
        lay.scene.pole(0.035, 2.75, place, metal)
        shape = square if kind in (1, 2) else ring
        front = Place(place.x, 2.4, place.z - 0.05, yaw=np.pi / 2)
        lay.scene.prism(shape, 0.012, front, Look(lay.atlas[f'sign{kind}']), metal)
        if rng.random() < 0.5:
            bin_look = lay.look('plain', rng.uniform(0.12, 0.4, 3), (1.0, 1.0))
            beside = Place(hand * (road.kerb(hand) + road.pavement_m - 0.4), 0.12, place.z + 3)
            lay.scene.box((0.58, 1.05, 0.7), beside, bin_look)


def _cars(lay: Layout, speed: float) -> None:
    """Park cars along the kerbs and let others drive."""
    rng, road = lay.rng, lay.road
    for hand in (-1, 1):
        if road.kerb(hand) - road.lane_m < 1:
            continue
        z = float(rng.uniform(2, 8))
        while z < min(road.length_m, 190):
            if road.free(z - 5, z + 5) and rng.random() < 0.7:
                x = hand * (road.kerb(hand) - 1.1 + rng.normal(0, 0.06))
                yaw = rng.normal(0, 0.015) + (np.pi if hand < 0 else 0)
                add_car(lay.scene, rng, lay.cars[rng.integers(len(lay.cars))], Place(x, 0, z, yaw))
            z += float(rng.uniform(5.2, 7.5))
    starts = [(1, rng.uniform(13, 38), speed * rng.uniform(0.98, 1.15))]
    starts += [(1, rng.uniform(60, 90), speed * 1.15)]
    towards = rng.uniform(-12, -7)
    starts += [(-1, z + rng.uniform(-8, 8), towards) for z in (32, 80, 150)]
    for hand, z, speed in starts:
        place = Place(
            hand * road.lane_m * 0.5 + rng.normal(0, 0.1), 0, z, 0.0 if hand > 0 else np.pi, speed
        )
        lay.movers.append(place)
        add_car(lay.scene, rng, lay.cars[rng.integers(len(lay.cars))], place)


def lay_out(
    rng: Rng, length_m: float, speed_m_s: float
) -> tuple[Scene, Road, list[Place], AtlasBuilder]:
    """Build a random street: its solids, its road, its moving cars and its textures."""
    atlas = AtlasBuilder()
    widths = paint_all(rng, atlas)
    lay = Layout(rng, make_road(rng, length_m), atlas, widths, car_models(rng, atlas))
    lay.scene.ground(Look(atlas['asphalt'], tile_m=(3.0, 3.0), kind=ROAD))
    for step in (_pavements, _houses, _trees, _posts):
        step(lay)
    _cars(lay, speed_m_s)
    return lay.scene.build(), lay.road, lay.movers, atlas
