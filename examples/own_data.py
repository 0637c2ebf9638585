"""Own data, from two frames to recommendations: replace the frames by your own, whatever their columns are called."""

import pandas as pd

import fedrec

genres = ["jazz", "rock", "folk"] * 20
albums = pd.DataFrame({"item_id": range(60), "title": [f"Album {n}" for n in range(60)], "genres": genres})
heard = [(user, (3 * (user // 3 + play) + user) % 60, play) for user in range(60) for play in range(8)]
plays = pd.DataFrame(heard, columns=["user_id", "item_id", "timestamp"])

run = fedrec.simulate("defaults", fedrec.read_data(plays, items=albums), overrides={"privacy.epsilon": 8})
print(run)
for album in run.recommend(user=7, top=5):
    print(album.rank, album.title, album.reason)
